//! One module a verb: each takes resolved values, calls the libraries, and prints.

pub mod average;
pub mod bench;
pub mod compare;
pub mod completions;
pub mod config;
pub mod doctor;
pub mod evaluate;
pub mod figure;
pub mod info;
pub mod init;
pub mod plot_attention;
pub mod plot_curves;
pub mod prepare;
pub mod report;
pub mod score;
pub mod tokenizer;
pub mod train;
pub mod translate;
pub mod watch;
mod wishes;

use std::path::{Path, PathBuf};

use seqweave::{ModelFolder, TranslateOptions, Translator};
use seqweave_tensor::Device;
use seqweave_tensor::machine::check_override;
use seqweave_train::config::Config;

use crate::exit::{Exit, Failure, Outcome};
use crate::resolve::{Context, Search};
use crate::ui::Ui;
use crate::values::DeviceChoice;

/// Sets the number of threads; 0 takes all cores.
fn start_pool(threads: usize) -> Outcome<()> {
    check_override().map_err(Failure::usage)?;
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|e| Failure::from(e).context(format!("cannot start {threads} threads")))
}

/// The device that a configuration asks for.
fn device_choice(config: &Config) -> Outcome<DeviceChoice> {
    let refused = |e| Failure::new(Exit::Config, format!("run.device is `{}`: {e}", config.run.device));
    config.run.device.parse().map_err(refused)
}

/// The device, and which it is and why.
fn open_device(choice: DeviceChoice) -> Outcome<(Device, String)> {
    choice.open().map_err(|e| Failure::from(e).help("use --device cpu, or auto for whatever there is"))
}

/// Opens a model on the device that was asked for.
fn open_model(ui: &Ui, context: &Context, dir: &Path) -> Outcome<Translator> {
    start_pool(context.threads.unwrap_or(0))?;
    open_translator(ui, context, dir)
}

/// The same once the threads have been started, for verbs that open several models.
fn open_translator(ui: &Ui, context: &Context, dir: &Path) -> Outcome<Translator> {
    let (device, why) = open_device(context.device.unwrap_or(DeviceChoice::Auto))?;
    let device = device.with_precision(context.precision.unwrap_or_default());
    let translator = Translator::from_dir_on(dir, &device)?;
    let precision = device.precision().name();
    ui.detail(format!("device {why}, {precision}, {} threads", rayon::current_num_threads()));
    ui.detail(format!("model  {}: {} parameters", dir.display(), translator.model().params.numel()));
    Ok(translator)
}

/// Opens models on the device that was asked for; several are an ensemble.
fn open_ensemble(ui: &Ui, context: &Context, dirs: &[PathBuf]) -> Outcome<Translator> {
    let (first, others) = dirs.split_first().ok_or_else(|| Failure::usage("expected --model DIR"))?;
    let mut translator = open_model(ui, context, first)?;
    for dir in others {
        let other = ModelFolder::open(dir, translator.model().params.device())?;
        ui.detail(format!("model  {}: {} parameters", dir.display(), other.params.numel()));
        translator = translator.join(other).map_err(|e| Failure::from(e).at(dir.display()))?;
    }
    Ok(translator)
}

/// The names of models as one.
fn names(dirs: &[PathBuf]) -> String {
    dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(" + ")
}

/// The model's own search options, with those of the command line in their place.
fn translate_options(translator: &Translator, search: &Search) -> TranslateOptions {
    let own = translator.defaults();
    TranslateOptions { search: search.over(own.search.clone()), batch: search.batch, ..own }
}
