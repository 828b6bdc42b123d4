//! The one step from raw flags to validated values; commands after it cannot fail on flags.

mod init;
mod observe;
mod search;
mod tokenizer;
mod translate;

use std::path::{Path, PathBuf};

use seqweave_data::SourceSpec;
use seqweave_metrics::Metric;
use seqweave_tensor::Precision;
use seqweave_train::bench::{BenchOptions, Mode, Size};
use seqweave_train::choice::Choice;

use crate::args::{self, Scoring, Verb};
use crate::exit::{Failure, Outcome};
use crate::values::{DeviceChoice, Gate};

use init::init;
pub use init::{Contents, Init};
pub use observe::{Measure, Report, Watch};
pub use search::Search;
use search::search;
use tokenizer::tokenizer;
pub use tokenizer::{Import, LearnPieces, Tokenizer, Tokens};
use translate::translate;
pub use translate::{Fields, Sink, Source, Translate, Wishes};

/// Everything the program was asked to do.
#[derive(Debug)]
pub struct Job {
    /// What every verb shares.
    pub context: Context,
    /// The verb with its values.
    pub task: Task,
}

/// What every verb shares.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    /// Where to compute; `None` leaves it to the config, and then to the machine.
    pub device: Option<DeviceChoice>,
    /// CPU threads; `None` leaves it to the config, and then to the machine.
    pub threads: Option<usize>,
    /// Operands of matrix products, where it overrides the config.
    pub precision: Option<Precision>,
    /// Seed, where it overrides the config.
    pub seed: Option<u64>,
}

/// A verb with its values.
#[derive(Debug)]
pub enum Task {
    /// `init`
    Init(Init),
    /// `doctor`
    Doctor {
        /// The configuration.
        config: ConfigSources,
        /// JSON instead of text.
        json: bool,
    },
    /// `prepare`
    Prepare(Prepare),
    /// `train`
    Train(Train),
    /// `average`
    Average(Average),
    /// `translate`
    Translate(Translate),
    /// `evaluate`
    Evaluate(Evaluate),
    /// `compare`
    Compare(Compare),
    /// `tokenizer`
    Tokenizer(Tokenizer),
    /// `score`
    Score(Score),
    /// `info PATH`
    Info {
        /// What to look into.
        path: PathBuf,
        /// JSON instead of text.
        json: bool,
    },
    /// `info --system`
    System {
        /// JSON instead of text.
        json: bool,
    },
    /// `report`
    Report(Report),
    /// `watch`
    Watch(Watch),
    /// `plot attention`
    PlotAttention(PlotAttention),
    /// `plot curves`
    PlotCurves {
        /// Run folders.
        runs: Vec<PathBuf>,
        /// Where and how to draw.
        figure: Figure,
    },
    /// `config show`
    ConfigShow(ConfigSources),
    /// `config check`
    ConfigCheck(ConfigSources),
    /// `config schema`
    ConfigSchema,
    /// `config explain`
    ConfigExplain {
        /// A key, a table, or everything.
        key: Option<String>,
    },
    /// `bench`
    Bench {
        /// What to measure.
        options: BenchOptions,
        /// JSON instead of text.
        json: bool,
    },
    /// `completions`
    Completions(clap_complete::Shell),
}

/// Config files, and overrides in the order in which they win.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSources {
    /// The files, later ones win.
    pub files: Vec<PathBuf>,
    /// `key=value`, later ones win, all win over files.
    pub sets: Vec<String>,
}

/// Values of `prepare`.
#[derive(Debug)]
pub struct Prepare {
    /// The configuration.
    pub config: ConfigSources,
    /// The folder to make.
    pub output: PathBuf,
    /// Threads that encode.
    pub jobs: Option<usize>,
    /// JSON instead of text.
    pub json: bool,
}

/// Values of `train`.
#[derive(Debug)]
pub struct Train {
    /// The configuration; --run, --max-steps and --seed are already overrides in it.
    pub config: ConfigSources,
    /// Remove the checkpoints of an earlier run.
    pub overwrite: bool,
    /// Only check.
    pub dry_run: bool,
}

/// Values of `average`.
#[derive(Debug)]
pub struct Average {
    /// Model folders, checkpoints or run folders.
    pub paths: Vec<PathBuf>,
    /// Which checkpoints of each run folder; none for what the folder stands for everywhere else.
    pub choice: Option<Choice>,
    /// The model folder to make.
    pub output: PathBuf,
}

/// Values of `evaluate`.
#[derive(Debug)]
pub struct Evaluate {
    /// The model folders.
    pub models: Vec<PathBuf>,
    /// Sources and references.
    pub pairs: SourceSpec,
    /// What is measured, each once, gates included.
    pub metrics: Vec<Metric>,
    /// The gates.
    pub gates: Vec<Gate>,
    /// How many examples are shown.
    pub examples: usize,
    /// JSON instead of text.
    pub json: bool,
    /// What scores of texts depend on.
    pub scoring: Scoring,
    /// The search.
    pub search: Search,
}

/// Values of `compare`.
#[derive(Debug)]
pub struct Compare {
    /// Files of output, or models; the first is the baseline.
    pub systems: Vec<PathBuf>,
    /// Files of references, at least one.
    pub references: Vec<PathBuf>,
    /// File of sources.
    pub src: Option<PathBuf>,
    /// What is measured.
    pub metrics: Vec<Metric>,
    /// What scores depend on.
    pub scoring: Scoring,
    /// JSON instead of text.
    pub json: bool,
    /// The search.
    pub search: Search,
}

/// Values of `score`.
#[derive(Debug)]
pub struct Score {
    /// The model folders.
    pub models: Vec<PathBuf>,
    /// Sources and targets.
    pub pairs: SourceSpec,
    /// Also for each token.
    pub per_token: bool,
    /// JSON instead of text.
    pub json: bool,
    /// Pairs scored together.
    pub batch: usize,
}

/// Where and how to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// The file.
    pub output: PathBuf,
    /// Its format, from its name.
    pub image: Image,
    /// A font tried first.
    pub font: Option<PathBuf>,
    /// Headline, if not the one that is made up.
    pub title: Option<String>,
}

/// Formats of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// Vectors.
    Svg,
    /// Pixels.
    Png,
}

/// Values of `plot attention`.
#[derive(Debug)]
pub struct PlotAttention {
    /// The model folder.
    pub model: PathBuf,
    /// What to translate, each with the figure it goes to.
    pub texts: Vec<(String, Figure)>,
    /// The search.
    pub search: Search,
}

/// Turns raw flags into a job.
///
/// # Errors
/// A usage [`Failure`] that names the options that do not go together.
pub fn resolve(args: args::Args) -> Outcome<Job> {
    let args::Global { device, threads, precision, seed, .. } = args.global;
    let context = Context { device, threads, precision, seed };
    let task = match args.verb {
        Verb::Init(raw) => Task::Init(init(raw, seed)?),
        Verb::Doctor(args::Doctor { config, set, json }) => {
            Task::Doctor { config: config_sources(config, set)?, json }
        }
        Verb::Prepare(args::Prepare { config, set, output, jobs, json }) => {
            Task::Prepare(Prepare { config: config_sources(config, set)?, output, jobs, json })
        }
        Verb::Train(raw) => Task::Train(train(raw, &context)?),
        Verb::Average(raw) => Task::Average(average(raw)),
        Verb::Translate(raw) => Task::Translate(translate(raw, &context)?),
        Verb::Evaluate(raw) => Task::Evaluate(evaluate(raw)?),
        Verb::Tokenizer(raw) => Task::Tokenizer(tokenizer(raw)),
        Verb::Compare(raw) => Task::Compare(compare(raw)?),
        Verb::Score(args::Score { models, pairs: raw, per_token, json, batch }) => {
            Task::Score(Score { models: models.dirs, pairs: pairs(raw)?, per_token, json, batch })
        }
        Verb::Info(args::Info { path, json, .. }) => match path {
            Some(path) => Task::Info { path, json },
            None => Task::System { json },
        },
        Verb::Report(raw) => Task::Report(observe::report(raw)?),
        Verb::Watch(raw) => Task::Watch(observe::watch(raw)),
        Verb::Plot(args::Plot::Attention(raw)) => Task::PlotAttention(plot_attention(raw)?),
        Verb::Plot(args::Plot::Curves(args::PlotCurves { runs, figure: raw })) => {
            Task::PlotCurves { runs, figure: figure(raw, "curves.svg")? }
        }
        Verb::Config(args::Config::Show(raw)) => Task::ConfigShow(config_sources(raw.config, raw.set)?),
        Verb::Config(args::Config::Check(raw)) => Task::ConfigCheck(config_sources(raw.config, raw.set)?),
        Verb::Config(args::Config::Schema) => Task::ConfigSchema,
        Verb::Config(args::Config::Explain(raw)) => Task::ConfigExplain { key: raw.key },
        Verb::Bench(raw) => {
            let json = raw.json;
            Task::Bench { options: bench(raw, &context), json }
        }
        Verb::Completions(args::Completions { shell }) => Task::Completions(shell),
    };
    Ok(Job { context, task })
}

fn train(raw: args::Train, context: &Context) -> Outcome<Train> {
    let args::Train { config, set, run, max_steps, init_from, overwrite, dry_run } = raw;
    let mut config = config_sources(config, set)?;
    // Options are short forms of --set, so that the resolved config in the run folder shows them.
    if let Some(run) = run {
        config.sets.extend(run_folder(&run)?);
    }
    if let Some(max_steps) = max_steps {
        config.sets.push(format!("train.max_steps={max_steps}"));
    }
    if let Some(model) = init_from {
        let utf8 = model.to_str().ok_or_else(|| Failure::usage("--init-from: expected a path in UTF-8"))?;
        config.sets.push(format!("train.init_from={}", toml_string(utf8)));
    }
    let Context { device, threads, precision, seed } = context;
    config.sets.extend(seed.map(|seed| format!("seed={seed}")));
    config.sets.extend(precision.map(|precision| format!("train.precision=\"{}\"", precision.name())));
    config.sets.extend(threads.map(|threads| format!("run.threads={threads}")));
    config.sets.extend(device.map(|device| format!("run.device=\"{device}\"")));
    Ok(Train { config, overwrite, dry_run })
}

fn average(raw: args::Average) -> Average {
    let args::Average { paths, output, last, best } = raw;
    Average { paths, choice: last.map(Choice::Last).or(best.map(Choice::Best)), output }
}

/// A run folder is `run.dir` / `name` in the config.
fn run_folder(run: &Path) -> Outcome<[String; 2]> {
    let wrong = |what: &str| {
        Failure::usage(format!("--run {}: {what}", run.display())).help("for example --run runs/first")
    };
    let run = std::path::absolute(run).map_err(|e| wrong(&e.to_string()))?;
    let name = run.file_name().ok_or_else(|| wrong("expected the name of a folder"))?;
    let dir = run.parent().unwrap_or(Path::new(""));
    match (dir.to_str(), name.to_str()) {
        (Some(dir), Some(name)) => {
            Ok([format!("run.dir={}", toml_string(dir)), format!("name={}", toml_string(name))])
        }
        _ => Err(wrong("expected a path in UTF-8")),
    }
}

fn config_sources(files: Vec<PathBuf>, sets: Vec<String>) -> Outcome<ConfigSources> {
    for set in &sets {
        if set.split_once('=').is_none_or(|(key, _)| key.trim().is_empty()) {
            return Err(Failure::usage(format!("--set {set}: expected KEY=VALUE"))
                .help("for example --set train.max_steps=500"));
        }
    }
    Ok(ConfigSources { files, sets })
}

fn bench(raw: args::Bench, context: &Context) -> BenchOptions {
    let args::Bench { config, mode, batch, beam, seconds, no_input_feed, json: _ } = raw;
    BenchOptions {
        size: Size { batch: batch.unwrap_or(config.batch), ..config },
        mode: match mode {
            args::BenchMode::Train => Mode::Train,
            args::BenchMode::Greedy => Mode::Greedy,
            args::BenchMode::Beam => Mode::Beam,
        },
        beam,
        input_feeding: !no_input_feed,
        precision: context.precision.unwrap_or_default(),
        seconds,
    }
}

fn evaluate(raw: args::Evaluate) -> Outcome<Evaluate> {
    let args::Evaluate {
        models,
        pairs: raw_pairs,
        metrics: wanted,
        fail_under: gates,
        examples,
        json,
        scoring,
        search: raw_search,
    } = raw;
    let mut metrics: Vec<Metric> = Vec::new();
    for metric in wanted.into_iter().chain(gates.iter().map(|gate| gate.metric)) {
        if !metrics.contains(&metric) {
            metrics.push(metric);
        }
    }
    let (pairs, search) = (pairs(raw_pairs)?, search(raw_search)?);
    Ok(Evaluate { models: models.dirs, pairs, metrics, gates, examples, json, scoring, search })
}

fn compare(raw: args::Compare) -> Outcome<Compare> {
    let args::Compare { systems, references, src, metrics, scoring, json, search: raw_search } = raw;
    if let Some(metric) = metrics.iter().find(|metric| !metric.is_of_text()) {
        return Err(Failure::usage(format!("--metrics {metric} needs a model, and compare looks at texts"))
            .help("use `seqweave evaluate` for it"));
    }
    Ok(Compare { systems, references, src, metrics, scoring, json, search: search(raw_search)? })
}

fn pairs(raw: args::Pairs) -> Outcome<SourceSpec> {
    match (raw.tsv, raw.src, raw.tgt) {
        (Some(path), ..) => Ok(SourceSpec::file(path)),
        (None, Some(src), Some(tgt)) => Ok(SourceSpec::Parallel { src, tgt }),
        // The parser asks for exactly this; it is its contract, said once more.
        _ => Err(Failure::usage("expected --tsv FILE or two files SRC TGT")),
    }
}

fn figure(raw: args::Figure, default: &str) -> Outcome<Figure> {
    let args::Figure { output, font, title } = raw;
    let output = output.unwrap_or_else(|| default.into());
    let extension = output.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    let image = match extension.as_deref() {
        Some("svg") => Image::Svg,
        Some("png") => Image::Png,
        _ => {
            return Err(Failure::usage("a figure is written as .svg or .png")
                .at(output.display())
                .help("give the file one of these endings"));
        }
    };
    Ok(Figure { output, image, font, title })
}

fn plot_attention(raw: args::PlotAttention) -> Outcome<PlotAttention> {
    let args::PlotAttention { model, text, figure: raw_figure, search: raw_search } = raw;
    let figure = figure(raw_figure, "attention.svg")?;
    let several = text.len() > 1;
    let texts = text.into_iter().enumerate().map(|(i, text)| {
        let output = if several { numbered(&figure.output, i + 1) } else { figure.output.clone() };
        (text, Figure { output, ..figure.clone() })
    });
    Ok(PlotAttention { model: model.dir, texts: texts.collect(), search: search(raw_search)? })
}

/// `dir/attention.svg` → `dir/attention-2.svg`
fn numbered(path: &Path, number: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{number}.{extension}"))
}

/// A TOML basic string.
pub(crate) fn toml_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::exit::Exit;

    pub(super) fn job(line: &str) -> Outcome<Job> {
        let words = ["seqweave"].into_iter().chain(line.split(' '));
        resolve(args::Args::try_parse_from(words).map_err(|e| Failure::usage(e.to_string()))?)
    }

    pub(super) fn task(line: &str) -> Task {
        job(line).unwrap_or_else(|e| panic!("{line}: {}", e.render(str::to_owned))).task
    }

    pub(super) fn refused(line: &str) -> String {
        let failure = job(line).expect_err(line);
        assert_eq!(failure.exit, Exit::Usage, "{line}");
        failure.render(str::to_owned)
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        for (line, message) in [
            ("translate -m m --n-best 3", "--n-best has no place in text output"),
            ("translate -m m --with score", "--with has no place in text output"),
            ("translate -m m --format jsonl --n-best 6 -b 5", "--n-best 6 is more than a beam of 5"),
            ("translate -m m --min-len 9 --max-len 8", "--min-len 9 is more than --max-len 8"),
            ("translate -m m -b 0", "expected a whole number from 1 to 1024"),
            ("translate -m m --coverage-penalty=-1", "expected a number of at least 0"),
            ("translate -m m --repetition-penalty 0.5", "expected a number from 1 to 100"),
            ("translate -m m --sample --temperature 0", "expected a number from 0.01 to 100"),
            ("translate -m m --sample --top-p 0", "expected a number from 0.001 to 1"),
            ("translate -m m --top-p 0.9", "--sample"),
            ("translate -m m --sample -b 4", "cannot be used with"),
            ("translate -m m --sample --require-file r", "cannot be used with"),
            ("translate -m m --dictionary d", "--replace-unk"),
            ("translate -m m --align-words", "--alignments"),
            ("translate -m m --with colour", "invalid value 'colour'"),
            ("translate -m m -q -v", "cannot be used with"),
            ("train -c a.toml --set nokey", "--set nokey: expected KEY=VALUE"),
            ("train -c a.toml --max-steps 0", "invalid value '0'"),
            ("train", "--config <FILE>"),
            ("evaluate -m m", "required arguments"),
            ("evaluate -m m a.src", "required arguments"),
            ("evaluate -m m --tsv a.tsv b.src b.tgt", "cannot be used with"),
            ("evaluate -m m --tsv a.tsv --metrics comet", "unknown metric `comet`"),
            ("evaluate -m m --tsv a.tsv --fail-under wer", "expected NAME=BOUND"),
            ("info", "required arguments"),
            ("info x --system", "cannot be used with"),
            ("train -c a.toml --run /", "expected the name of a folder"),
            ("report r s r", "r is named twice"),
            ("report r --no-evaluate --test t.tsv", "cannot be used with"),
            ("watch r --interval 0", "expected a number from 0.05 to 3600"),
            ("plot curves r -o a.gif", "a figure is written as .svg or .png"),
            ("info x --device tpu", "expected auto, cpu, cuda or cuda:N"),
        ] {
            let text = refused(line);
            assert!(text.contains(message), "{line}: {text}");
        }
    }

    #[test]
    fn short_forms_become_overrides_that_win() {
        let Task::Train(t) = task(
            "train -c a.toml b.toml --set train.max_steps=9 --run r/x --max-steps 5 --seed 3 --device cpu",
        ) else {
            panic!()
        };
        assert_eq!(t.config.files, [PathBuf::from("a.toml"), "b.toml".into()]);
        let here = std::env::current_dir().unwrap();
        let dir = format!("run.dir={}", toml_string(here.join("r").to_str().unwrap()));
        let sets =
            ["train.max_steps=9", &dir, "name=\"x\"", "train.max_steps=5", "seed=3", "run.device=\"cpu\""];
        assert_eq!(t.config.sets, sets);
        assert!(!t.overwrite && !t.dry_run);
        assert_eq!(toml_string("a\"b\\c\n"), r#""a\"b\\c\u000A""#);
    }

    #[test]
    fn gates_are_measured_once() {
        let Task::Evaluate(e) =
            task("evaluate -m m --tsv t.tsv --metrics per,wer,per --fail-under wer=30,acc=50")
        else {
            panic!()
        };
        assert_eq!(e.metrics, [Metric::Per, Metric::Wer, Metric::Acc]);
        assert_eq!(e.gates.len(), 2);
        assert_eq!(e.pairs, SourceSpec::Tsv { path: "t.tsv".into() });
        let Task::Evaluate(e) = task("evaluate -m m a.src a.tgt") else { panic!() };
        assert_eq!(e.pairs, SourceSpec::Parallel { src: "a.src".into(), tgt: "a.tgt".into() });
        assert_eq!(e.metrics, [Metric::Wer, Metric::Per]);
    }

    #[test]
    fn several_texts_get_numbered_figures() {
        let Task::PlotAttention(p) = task("plot attention -m m --text a -t b -o d/x.png") else { panic!() };
        let files: Vec<_> = p.texts.iter().map(|(text, f)| (text.as_str(), f.output.clone())).collect();
        assert_eq!(files, [("a", "d/x-1.png".into()), ("b", "d/x-2.png".into())]);
        assert!(p.texts.iter().all(|(_, f)| f.image == Image::Png));
        let Task::PlotAttention(p) = task("plot attention -m m --text a") else { panic!() };
        assert_eq!(p.texts[0].1.output, PathBuf::from("attention.svg"));
        let Task::PlotCurves { figure, .. } = task("plot curves r1 r2") else { panic!() };
        assert_eq!((figure.output, figure.image), ("curves.svg".into(), Image::Svg));
    }

    #[test]
    fn global_options_work_after_the_verb() {
        let job = job("info --system --device cuda:1 --threads 2 --seed 7").unwrap();
        assert_eq!(
            job.context,
            Context { device: Some(DeviceChoice::Cuda(1)), threads: Some(2), precision: None, seed: Some(7) }
        );
        assert!(matches!(job.task, Task::System { json: false }));
    }
}
