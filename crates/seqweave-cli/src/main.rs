//! The `seqweave` binary: parse, resolve, call, print.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use seqweave_cli::args::Args;
use seqweave_cli::commands::{
    average, bench, compare, completions, config, doctor, evaluate, info, init, plot_attention, plot_curves,
    prepare, report, score, tokenizer, train, translate, watch,
};
use seqweave_cli::exit::{Exit, Outcome};
use seqweave_cli::hints::explained;
use seqweave_cli::resolve::{Job, Task, resolve};
use seqweave_cli::ui::{Ui, early_color, set_color};

fn main() -> ExitCode {
    if let Some(color) = early_color(std::env::args_os().skip(1)) {
        set_color(color);
    }
    let args = Args::try_parse().unwrap_or_else(|error| explained(error).exit());
    set_color(args.global.color);
    let ui = Ui::new(&args.global);
    let exit = match run(&ui, args) {
        Ok(exit) => exit,
        Err(failure) if failure.is_broken_pipe() => Exit::Good,
        Err(failure) => {
            ui.clear_bar();
            ui.fail(&failure);
            failure.exit
        }
    };
    exit.into()
}

fn run(ui: &Ui, args: Args) -> Outcome {
    let Job { context, task } = resolve(args)?;
    match task {
        Task::Init(job) => init::run(ui, &job),
        Task::Doctor { config, json } => doctor::run(ui, &context, &config, json),
        Task::Prepare(job) => prepare::run(ui, &context, job),
        Task::Train(job) => train::run(ui, job),
        Task::Average(job) => average::run(ui, &context, &job),
        Task::Translate(job) => translate::run(ui, &context, job),
        Task::Evaluate(job) => evaluate::run(ui, &context, job),
        Task::Tokenizer(job) => tokenizer::run(ui, job),
        Task::Compare(job) => compare::run(ui, &context, job),
        Task::Score(job) => score::run(ui, &context, job),
        Task::Info { path, json } => info::run(&path, json),
        Task::System { json } => info::system(&context, json),
        Task::Report(job) => report::run(ui, &context, job),
        Task::Watch(job) => watch::run(ui, job),
        Task::PlotAttention(job) => plot_attention::run(ui, &context, job),
        Task::PlotCurves { runs, figure } => plot_curves::run(ui, &runs, &figure),
        Task::ConfigShow(sources) => config::show(ui, &sources),
        Task::ConfigCheck(sources) => config::check(ui, &sources),
        Task::ConfigSchema => config::schema(),
        Task::ConfigExplain { key } => config::explain(key.as_deref()),
        Task::Bench { options, json } => bench::run(ui, &context, &options, json),
        Task::Completions(shell) => completions::run(shell),
    }
}
