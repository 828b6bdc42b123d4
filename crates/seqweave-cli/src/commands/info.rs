//! `info`: what a model, run or checkpoint is; what this machine has.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use seqweave::ModelFolder;
use seqweave::store::Disk;
use seqweave_data::Codec;
use seqweave_seq2seq::ModelConfig;
use seqweave_seq2seq::search::SearchOptions;
use seqweave_tensor::{Device, machine};
use seqweave_train::checkpoint::{self, Best, Pointer, STATE_NAME};
use serde::Serialize;

use crate::exit::{Exit, Failure, Outcome};
use crate::plot::Fonts;
use crate::progress::grouped;
use crate::resolve::Context;
use crate::values::DeviceChoice;

/// Says what is in a model folder, run folder or checkpoint; every byte of it is verified on the way.
///
/// # Errors
/// When it is none of these, or damaged.
pub fn run(path: &Path, json: bool) -> Outcome {
    let model = Model::of(&ModelFolder::open(path, &Device::cpu())?);
    let info =
        Info { path: path.display().to_string(), model, run: Run::of(path)?, training: Training::of(path)? };
    let text = if json { serde_json::to_string_pretty(&info)? } else { info.text() };
    writeln!(io::stdout(), "{}", text.trim_end())?;
    Ok(Exit::Good)
}

/// Says what this machine has.
///
/// # Errors
/// When stdout cannot be written.
pub fn system(context: &Context, json: bool) -> Outcome {
    machine::check_override().map_err(Failure::usage)?;
    let system = System::of(context);
    let text = if json { serde_json::to_string_pretty(&system)? } else { system.text() };
    writeln!(io::stdout(), "{}", text.trim_end())?;
    Ok(Exit::Good)
}

#[derive(Debug, Serialize)]
struct Info {
    path: String,
    model: Model,
    /// Of a run folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Run>,
    /// Of a checkpoint: the one named, or the best of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    training: Option<Training>,
}

#[derive(Debug, Serialize)]
struct Model {
    parameters: usize,
    bytes: usize,
    /// Parameters by the first two parts of their names, in the order of the model.
    modules: Vec<Module>,
    source_vocab: usize,
    target_vocab: usize,
    source_level: String,
    target_level: String,
    config: ModelConfig,
    decode: SearchOptions,
}

#[derive(Debug, Serialize)]
struct Module {
    name: String,
    parameters: usize,
}

#[derive(Debug, Serialize)]
struct Run {
    checkpoints: Vec<String>,
    best: Option<String>,
    last: Option<String>,
}

#[derive(Debug, Serialize)]
struct Training {
    step: u64,
    epoch: u64,
    seed: u64,
    best_step: Option<u64>,
    best_score: Option<f64>,
    written_by: String,
}

/// What a token of one side is.
pub(super) fn level(codec: &Codec) -> String {
    let level = format!("{:?}", codec.tokenizer.level).to_lowercase();
    if codec.tokenizer.lowercase { format!("{level}, lower case") } else { level }
}

impl Model {
    fn of(folder: &ModelFolder) -> Self {
        let mut modules: Vec<Module> = Vec::new();
        for (name, shape, _) in folder.params.iter() {
            let name = name.split('.').take(2).collect::<Vec<_>>().join(".");
            let numbers: usize = shape.iter().product();
            match modules.last_mut() {
                Some(last) if last.name == name => last.parameters += numbers,
                _ => modules.push(Module { name, parameters: numbers }),
            }
        }
        let parameters = folder.params.numel();
        Self {
            parameters,
            bytes: 4 * parameters,
            modules,
            source_vocab: folder.source.vocab.len(),
            target_vocab: folder.target.vocab.len(),
            source_level: level(&folder.source),
            target_level: level(&folder.target),
            config: folder.model.config().clone(),
            decode: folder.generation.clone(),
        }
    }
}

impl Run {
    fn of(path: &Path) -> Outcome<Option<Self>> {
        if !checkpoint::checkpoints_folder(path).is_dir() {
            return Ok(None);
        }
        Ok(Some(Self {
            checkpoints: checkpoint::list(&Disk, path)?,
            best: checkpoint::pointer(&Disk, path, Pointer::Best)?,
            last: checkpoint::pointer(&Disk, path, Pointer::Last)?,
        }))
    }
}

impl Training {
    fn of(path: &Path) -> Outcome<Option<Self>> {
        let folder = ModelFolder::resolve(path)?;
        if !folder.join(STATE_NAME).exists() {
            return Ok(None);
        }
        let state = checkpoint::load(&Disk, &folder)?.state;
        let (best_step, best_score) = state.best.map(|Best { step, score }| (step, score)).unzip();
        Ok(Some(Self {
            step: state.step,
            epoch: state.epoch,
            seed: state.seed,
            best_step,
            best_score,
            written_by: state.code_version,
        }))
    }
}

impl Info {
    fn text(&self) -> String {
        let Info { path, model, run, training } = self;
        let mut text = format!("{path}\n");
        let _ = writeln!(
            text,
            "parameters  {} ({:.2} MB, f32)",
            grouped(model.parameters),
            model.bytes as f64 / 1e6
        );
        let width = model.modules.iter().map(|module| module.name.len()).max().unwrap_or(0);
        for Module { name, parameters } in &model.modules {
            let _ = writeln!(text, "  {name:<width$}  {:>12}", grouped(*parameters));
        }
        let _ = writeln!(text, "source      {} tokens ({})", grouped(model.source_vocab), model.source_level);
        let _ = writeln!(text, "target      {} tokens ({})", grouped(model.target_vocab), model.target_level);
        let _ = writeln!(text, "model       {}", settings(&model.config).join("\n            "));
        let _ = writeln!(text, "decode      {}", settings(&model.decode).join(", "));
        if let Some(Training { step, epoch, seed, best_step, best_score, written_by }) = training {
            let _ = writeln!(
                text,
                "training    step {step}, epoch {}, seed {seed}, by seqweave {written_by}",
                epoch + 1
            );
            if let (Some(step), Some(score)) = (best_step, best_score) {
                let _ = writeln!(text, "best        {score} at step {step}");
            }
        }
        if let Some(Run { checkpoints, best, last }) = run {
            let _ = writeln!(text, "checkpoints {}", checkpoints.join(", "));
            for (name, pointer) in [("best", best), ("last", last)] {
                if let Some(pointer) = pointer {
                    let _ = writeln!(text, "  {name} is {pointer}");
                }
            }
        }
        text
    }
}

/// A struct as lines of `key value, key value`: its plain keys, then a line for each struct inside.
fn settings(value: &impl Serialize) -> Vec<String> {
    // Through text, where an `f32` is written by its own shortest digits and not by those of the nearest `f64`.
    let text = serde_json::to_string(value).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let Some(fields) = value.as_object() else { return vec![words(&value)] };
    let (structs, plain): (Vec<_>, Vec<_>) = fields.iter().partition(|(_, value)| value.is_object());
    let plain: Vec<String> =
        plain.into_iter().map(|(key, value)| format!("{key} {}", words(value))).collect();
    let structs = structs.into_iter().map(|(key, value)| format!("{key}: {}", words(value)));
    [plain.join(", ")].into_iter().chain(structs).collect()
}

/// A value as words: text bare, a struct as `key value, key value`.
fn words(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Object(fields) => {
            fields.iter().map(|(key, value)| format!("{key} {}", words(value))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[derive(Debug, Serialize)]
struct System {
    version: &'static str,
    system: String,
    cores: usize,
    cpu_features: Vec<&'static str>,
    /// Instruction set of the matrix kernels.
    kernels: &'static str,
    /// How bf16 products are made.
    bf16: &'static str,
    /// How f32-fast products are made.
    f32_fast: &'static str,
    /// Why AMX tiles are not used; nothing where they are.
    tiles_unused: Option<&'static str>,
    device: String,
    /// Who makes the matrix products of training on a GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    training_products: Option<String>,
    chinese_font: bool,
}

impl System {
    fn of(context: &Context) -> Self {
        let (device, training_products) = match context.device.unwrap_or(DeviceChoice::Auto).open() {
            Ok((Device::Cuda(cuda), why)) => {
                (why, Some(cuda.training_products().unwrap_or_else(|error| error.to_string())))
            }
            Ok((Device::Cpu(_), why)) => (why, None),
            Err(error) => (error.to_string(), None),
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu_features: cpu_features(),
            kernels: machine::matrix_kernels(),
            bf16: machine::bf16_kernels(),
            f32_fast: machine::f32_fast_kernels(),
            tiles_unused: machine::tiles_unused(),
            device,
            training_products,
            chinese_font: Fonts::load(None).is_ok_and(|fonts| fonts.can_show('文')),
        }
    }

    fn text(&self) -> String {
        let Self { version, system, cores, cpu_features, device, chinese_font, .. } = self;
        let Self { kernels, bf16, f32_fast, tiles_unused, training_products, .. } = self;
        let products =
            training_products.as_ref().map_or(String::new(), |who| format!("products  {who}, in training\n"));
        let tiles = match tiles_unused {
            None => "AMX, for bf16 and, in two parts a number, for f32-fast".to_owned(),
            Some(reason) => format!("not used ({reason}); without them f32-fast gains nothing and is f32"),
        };
        let features = if cpu_features.is_empty() { "none known".to_owned() } else { cpu_features.join(" ") };
        let fonts =
            if *chinese_font { "show Chinese" } else { "do not show Chinese (plots: use --font FILE)" };
        format!(
            "seqweave  {version}\nsystem    {system}, {cores} cores\nfeatures  {features}\nkernels   {kernels}, bf16 {bf16}, f32-fast {f32_fast}\ntiles     {tiles}\ndevice    {device}\n{products}fonts     {fonts}"
        )
    }
}

/// The vector instructions that matter for matrix products.
fn cpu_features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let found = [
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ("avx512bf16", std::arch::is_x86_feature_detected!("avx512bf16")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let found: [(&'static str, bool); 0] = [];
    found.into_iter().filter_map(|(name, is_there)| is_there.then_some(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqweave_seq2seq::search::LengthPenalty;

    #[test]
    fn structs_inside_have_their_own_lines() {
        let lines = settings(&SearchOptions::default());
        assert_eq!(lines.len(), 3);
        assert!(lines[0].contains("beam 1, ") && lines[0].contains("length_penalty average"), "{lines:?}");
        assert_eq!(lines[1], "max_len: add 10, ratio 2.0");
        let length_penalty = LengthPenalty::Gnmt { alpha: 0.6 };
        let lines = settings(&SearchOptions { length_penalty, ..SearchOptions::default() });
        assert!(lines.contains(&"length_penalty: gnmt alpha 0.6".to_owned()), "{lines:?}");
    }

    #[test]
    fn numbers_are_shown_as_they_were_set() {
        let lines = settings(&ModelConfig { dropout: 0.1, ..ModelConfig::default() });
        assert!(lines[0].contains("dropout 0.1,"), "{lines:?}");
    }

    #[test]
    fn the_system_is_described_without_a_gpu() {
        let system = System::of(&Context { device: None, threads: None, precision: None, seed: None });
        assert!(system.cores >= 1);
        assert!(system.text().starts_with("seqweave  "), "{}", system.text());
        assert!(serde_json::to_string(&system).unwrap().contains("\"device\":\"cpu"));
    }
}
