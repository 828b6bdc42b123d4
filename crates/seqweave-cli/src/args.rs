//! The command line as it is typed: raw flags, nothing checked across options. `resolve` does that.

mod average;
mod compare;
mod corpora;
mod observe;
mod search;
mod tokenizer;
mod translate;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum, ValueHint};
use seqweave_metrics::Metric;
use seqweave_tensor::Precision;
use seqweave_train::bench::Size;

pub use average::Average;
pub use compare::{Compare, Scoring};
pub use corpora::{Doctor, Prepare};
pub use observe::{Report, Watch};
pub use search::Search;
pub use tokenizer::{
    FormName, PieceModel, ProgramName, SideName, TokenizerImport, TokenizerTrain, TokenizerVerb, TokensOf,
};
pub use translate::{Field, Format, Models, Sample, Translate, Wishes};

use crate::values::{DeviceChoice, Gate, bench_size};

/// Sentences that are translated or scored together unless --batch says otherwise.
const BATCH: usize = 32;

/// Train, use and look into sequence-to-sequence models.
#[derive(Debug, Parser)]
#[command(
    name = "seqweave",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "\
First steps:
  seqweave init demo && cd demo
  seqweave train -c config.toml
  echo \"a b c d\" | seqweave translate -m runs/toy-reverse

Results go to stdout, everything else to stderr. Exit codes: 0 good, 1 failed,
2 usage, 3 config, 4 input data or file format, 5 training diverged,
6 quality gate not met, 130 or 143 interrupted (state saved).

Environment: SEQWEAVE_DEVICE, _THREADS, _SEED, _COLOR, _MODEL, _BEAM, _BATCH and
_FONT stand in for the options of these names."
)]
pub struct Args {
    /// Options of every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options of every verb.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, global = true, env = "SEQWEAVE_DEVICE", hide_env = true, value_name = "DEVICE")]
    pub device: Option<DeviceChoice>,
    /// CPU threads; 0 means all cores
    #[arg(long, global = true, env = "SEQWEAVE_THREADS", hide_env = true, value_name = "N")]
    #[arg(value_parser = in_range::<0, 1024>)]
    pub threads: Option<usize>,
    /// Operands of matrix products: f32, f32-fast or bf16
    #[arg(long, alias = "dtype", global = true, env = "SEQWEAVE_PRECISION", hide_env = true)]
    #[arg(value_name = "PRECISION")]
    pub precision: Option<Precision>,
    /// Seed of every random choice; overrides the config
    #[arg(long, global = true, env = "SEQWEAVE_SEED", hide_env = true, value_name = "N")]
    #[arg(value_parser = at_least::<0>)]
    pub seed: Option<u64>,
    /// Only warnings and errors on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// More on stderr
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Colours: auto, always or never (NO_COLOR is respected)
    #[arg(long, global = true, env = "SEQWEAVE_COLOR", hide_env = true, value_name = "WHEN")]
    #[arg(default_value = "auto", hide_default_value = true, hide_possible_values = true)]
    pub color: Color,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// When the stream is a terminal that can.
    Auto,
    /// Also into files and pipes.
    Always,
    /// Nowhere.
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a folder with a commented config and data, ready to train
    Init(Init),
    /// Look over the data of a config: findings, and what to do
    Doctor(Doctor),
    /// Turn corpora into shards, for data larger than memory
    Prepare(Prepare),
    /// Train a model, or go on with an interrupted run
    Train(Train),
    /// Make one model, the mean of several checkpoints
    Average(Average),
    /// Translate lines of text
    Translate(Translate),
    /// Translate and compare with references
    Evaluate(Evaluate),
    /// Test systems against a baseline, with p-values
    Compare(Compare),
    /// Log-probabilities of given translations
    Score(Score),
    /// Learn pieces of words, cut text into them, join them again
    #[command(subcommand)]
    Tokenizer(TokenizerVerb),
    /// What a model, run or checkpoint is; or what this machine has
    Info(Info),
    /// One HTML page about one or more runs
    Report(Report),
    /// A live picture of a training run
    Watch(Watch),
    /// Draw attention maps and training curves
    #[command(subcommand)]
    Plot(Plot),
    /// Show, check and explain configuration
    #[command(subcommand)]
    Config(Config),
    /// Measure the speed of training and decoding on this machine
    Bench(Bench),
    /// Shell completions
    Completions(Completions),
}

/// `init`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
With --data the config is made by a look at the pairs: words, letters or pieces
of words as tokens, a size that fits, measures that suit. It says why.

Examples:
  seqweave init demo && cd demo && seqweave train -c config.toml
  seqweave init mine --data pairs.tsv
  seqweave init de-en --data train.de train.en")]
pub struct Init {
    /// The folder to make; an existing one must be empty
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// Your own pairs: a file with source, tab and target in each line or of JSON objects (.jsonl), or two files
    /// whose lines correspond
    #[arg(long, value_name = "FILE", num_args = 1..=2, value_hint = ValueHint::FilePath, conflicts_with = "preset")]
    pub data: Vec<PathBuf>,
    /// What to put into it: toy-reverse (letters, and the same in reverse order)
    #[arg(long, value_name = "NAME", default_value = "toy-reverse", hide_possible_values = true)]
    pub preset: Preset,
}

/// What `init` can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Letters in, the same letters in reverse order out; learnt in under a minute
    ToyReverse,
}

/// `train`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Run the same command again to go on with an interrupted run: the result is the
same, bit for bit, as if it had not been interrupted. The first Ctrl-C or
SIGTERM finishes the step and saves; the second ends at once.

Examples:
  seqweave train -c config.toml
  seqweave train -c base.toml -c bigger.toml --set model.hidden=512
  seqweave train -c new-domain.toml --init-from runs/de-en
  seqweave train -c config.toml --dry-run      # check everything, train nothing")]
pub struct Train {
    /// Config files; a key in a later one wins
    #[arg(short, long, value_name = "FILE", required = true, num_args = 1..)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub config: Vec<PathBuf>,
    /// Overrides one key, as in --set train.max_steps=500
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The run folder; default: from the config
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub run: Option<PathBuf>,
    /// Length of the run in optimizer steps, at which its schedule ends too; overrides the config
    #[arg(long, value_name = "N", value_parser = at_least::<1>)]
    pub max_steps: Option<u64>,
    /// Start from the parameters of this model, checkpoint or run (train.init_from)
    #[arg(long, value_name = "MODEL", value_hint = ValueHint::DirPath)]
    pub init_from: Option<PathBuf>,
    /// Start anew: remove the checkpoints, samples and logs in the run folder
    #[arg(long)]
    pub overwrite: bool,
    /// Check config and data, build the model, say what would happen, and stop
    #[arg(long)]
    pub dry_run: bool,
}

/// `bench`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
The network: a bidirectional LSTM encoder and an LSTM decoder with general
attention, random tokens, full-length sentences, no dropout.

  config   E    H     layers  V      batch  length
  small    256  256   1       8000   64     20
  medium   512  512   2       16000  64     25
  large    512  1024  2       32000  64     30

The result is checked before it is timed. Tokens are target tokens.

Examples:
  seqweave bench --config small --mode train --threads 2
  seqweave bench --config medium --mode beam --batch 32 --json")]
pub struct Bench {
    /// Size of the network: small, medium or large
    #[arg(long, value_name = "SIZE", default_value = "small", value_parser = bench_size)]
    pub config: Size,
    /// What to time: train, greedy or beam
    #[arg(long, value_name = "MODE", default_value = "train", hide_possible_values = true)]
    pub mode: BenchMode,
    /// Sentences a batch; default: that of the size
    #[arg(long, value_name = "B", value_parser = in_range::<1, 65536>)]
    pub batch: Option<usize>,
    /// Beam size of --mode beam
    #[arg(long, value_name = "K", default_value = "5", value_parser = in_range::<1, 1024>)]
    pub beam: usize,
    /// How long to measure, in seconds
    #[arg(long, value_name = "S", default_value = "10", value_parser = non_negative)]
    pub seconds: f64,
    /// A decoder without input feeding
    #[arg(long)]
    pub no_input_feed: bool,
    /// One JSON line instead of text
    #[arg(long)]
    pub json: bool,
}

/// Modes of `bench`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchMode {
    /// Training steps.
    Train,
    /// Greedy search.
    Greedy,
    /// Beam search.
    Beam,
}

/// A model folder, named by every verb that uses one.
#[derive(Debug, ClapArgs)]
pub struct Model {
    /// The model: a model folder, a run folder (its best checkpoint), or a checkpoint
    #[arg(short = 'm', long = "model", value_name = "DIR", env = "SEQWEAVE_MODEL", hide_env_values = true)]
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
}

/// Sentence pairs: one TSV file or two files.
#[derive(Debug, ClapArgs)]
pub struct Pairs {
    /// Pairs as `source<TAB>target` lines; to wer, per, cer and acc those of one source are alternatives
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "src")]
    pub tsv: Option<PathBuf>,
    /// File of source lines, when there is no --tsv
    #[arg(value_name = "SRC", required_unless_present = "tsv", requires = "tgt")]
    #[arg(value_hint = ValueHint::FilePath)]
    pub src: Option<PathBuf>,
    /// File of target lines, as many
    #[arg(value_name = "TGT", value_hint = ValueHint::FilePath)]
    pub tgt: Option<PathBuf>,
}

/// `evaluate`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
A gate is met when the measured value is not worse than its bound: wer=30 needs
a word error rate of 30 % or less, acc=90 an accuracy of 90 % or more.
If a gate is not met the exit code is 6.

Examples:
  seqweave evaluate -m runs/g2p --tsv test.tsv --metrics wer,per
  seqweave evaluate -m runs/de-en test.de test.en --metrics bleu,chrf,ter
  seqweave evaluate -m runs/g2p test.src test.ref --json --fail-under wer=30")]
pub struct Evaluate {
    /// The models.
    #[command(flatten)]
    pub models: Models,
    /// The pairs.
    #[command(flatten)]
    pub pairs: Pairs,
    /// Measures: wer, per, cer, acc, ppl, token_acc, seq_acc, bleu, chrf, chrf++, ter, rouge1,
    /// rouge2, rougel, f0.5
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "wer,per")]
    pub metrics: Vec<Metric>,
    /// Quality gates, as in wer=30,per=12; each is measured, listed in --metrics or not
    #[arg(long, value_name = "NAME=BOUND", value_delimiter = ',')]
    pub fail_under: Vec<Gate>,
    /// Show this many examples
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub examples: usize,
    /// One JSON document instead of text
    #[arg(long)]
    pub json: bool,
    /// Scores.
    #[command(flatten)]
    pub scoring: Scoring,
    /// The search.
    #[command(flatten)]
    pub search: Search,
}

/// `score`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
One line out for each pair in: the log-probability (natural logarithm, end of
sentence included), and with --per-token each token with its share.
The perplexity over all pairs goes to stderr, or into the last JSON object.

Example:
  seqweave score -m runs/g2p --tsv test.tsv --per-token")]
pub struct Score {
    /// The models.
    #[command(flatten)]
    pub models: Models,
    /// The pairs.
    #[command(flatten)]
    pub pairs: Pairs,
    /// Also the log-probability of each token
    #[arg(long)]
    pub per_token: bool,
    /// One JSON object per line
    #[arg(long)]
    pub json: bool,
    /// Sentences scored together; the result does not depend on it
    #[arg(long, value_name = "N", default_value_t = BATCH, env = "SEQWEAVE_BATCH", hide_env_values = true)]
    #[arg(value_parser = in_range::<1, 65536>)]
    pub batch: usize,
}

/// `info`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  seqweave info runs/g2p
  seqweave info --system")]
pub struct Info {
    /// A model folder, run folder or checkpoint
    #[arg(required_unless_present = "system", conflicts_with = "system", value_hint = ValueHint::AnyPath)]
    pub path: Option<PathBuf>,
    /// Versions, processor, devices, fonts
    #[arg(long)]
    pub system: bool,
    /// One JSON document instead of text
    #[arg(long)]
    pub json: bool,
}

/// `plot`
#[derive(Debug, Subcommand)]
pub enum Plot {
    /// Where the model looks while it writes each output token
    Attention(PlotAttention),
    /// Loss, metrics and learning rate over the steps of one or more runs
    Curves(PlotCurves),
}

/// `plot attention`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Several texts give several files: attention-1.svg, attention-2.svg, ...

Examples:
  seqweave plot attention -m runs/g2p --text transformer -o attention.png
  seqweave plot attention -m runs/zh --text \"注意力\" --font NotoSansCJK.otf")]
pub struct PlotAttention {
    /// The model.
    #[command(flatten)]
    pub model: Model,
    /// The text to translate; may be given several times
    #[arg(short, long, required = true)]
    pub text: Vec<String>,
    /// The file and the figure.
    #[command(flatten)]
    pub figure: Figure,
    /// The search.
    #[command(flatten)]
    pub search: Search,
}

/// `plot curves`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  seqweave plot curves runs/small runs/large -o curves.png")]
pub struct PlotCurves {
    /// Run folders
    #[arg(required = true, value_name = "RUN", value_hint = ValueHint::DirPath)]
    pub runs: Vec<PathBuf>,
    /// The file and the figure.
    #[command(flatten)]
    pub figure: Figure,
}

/// Options of every figure.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Figure")]
pub struct Figure {
    /// The file to write, .svg or .png; default: attention.svg or curves.svg
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// A font file tried before the system's fonts (PNG only)
    #[arg(long, value_name = "FILE", env = "SEQWEAVE_FONT", hide_env_values = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub font: Option<PathBuf>,
    /// Headline; default: chosen from what is drawn
    #[arg(long)]
    pub title: Option<String>,
}

/// `config`
#[derive(Debug, Subcommand)]
pub enum Config {
    /// The whole configuration, defaults filled in
    Show(ConfigFiles),
    /// Every mistake in the files at once; exit code 3 if there is one
    Check(ConfigFiles),
    /// The JSON schema, for editors
    Schema,
    /// What a key means, its type and default
    Explain(ConfigExplain),
}

/// Config files and overrides.
#[derive(Debug, ClapArgs)]
pub struct ConfigFiles {
    /// Config files; a key in a later one wins
    #[arg(short, long, value_name = "FILE", num_args = 1.., value_hint = ValueHint::FilePath)]
    pub config: Vec<PathBuf>,
    /// Overrides one key, as in --set train.max_steps=500
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// `config explain`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  seqweave config explain model.hidden")]
pub struct ConfigExplain {
    /// A key or a table, as in model.hidden or model; default: every key
    pub key: Option<String>,
}

/// `completions`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  seqweave completions bash > seqweave.bash && source seqweave.bash")]
pub struct Completions {
    /// The shell to complete in
    pub shell: clap_complete::Shell,
}

/// A whole number in [LOW, HIGH].
fn in_range<const LOW: usize, const HIGH: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (LOW..=HIGH).contains(&n) => Ok(n),
        _ => Err(format!("expected a whole number from {LOW} to {HIGH}")),
    }
}

/// A whole number of at least LOW, such as a configuration can hold.
fn at_least<const LOW: u64>(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(n) if (LOW..=i64::MAX as u64).contains(&n) => Ok(n),
        _ => Err(format!("expected a whole number from {LOW} to 2^63-1")),
    }
}

/// A finite number of at least 0.
fn non_negative(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(x) if x >= 0.0 && f64::is_finite(x) => Ok(x),
        _ => Err("expected a number of at least 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// The help of a verb as a terminal of 80 columns shows it.
    fn help(verb: &[&str]) -> String {
        let mut command = Args::command().term_width(80);
        command.build();
        let command = verb.iter().fold(&mut command, |c, name| c.find_subcommand_mut(name).expect(name));
        let text = std::mem::take(command).render_help().to_string();
        // The version changes with every release, the help should not.
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_is_written_below_a_help_fits_as_it_is() {
        fn check(command: &clap::Command) {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let wide = text.lines().find(|line| line.chars().count() > 80);
            assert_eq!(wide, None, "it is broken below the help of {}", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&Args::command());
    }

    #[test]
    fn the_sizes_in_the_help_of_bench_are_those_of_the_program() {
        let text = help(&["bench"]);
        for size in seqweave_train::bench::SIZES {
            let Size { name, emb, hidden, layers, vocab, batch, length } = size;
            let row = format!("  {name:<8} {emb:<4} {hidden:<5} {layers:<7} {vocab:<6} {batch:<6} {length}");
            assert!(text.contains(&row), "no line {row:?} in\n{text}");
        }
    }

    #[test]
    fn help_reads_well_at_80_columns() {
        let verbs: [&[&str]; 28] = [
            &[],
            &["init"],
            &["doctor"],
            &["prepare"],
            &["train"],
            &["average"],
            &["translate"],
            &["evaluate"],
            &["score"],
            &["info"],
            &["report"],
            &["watch"],
            &["plot"],
            &["plot", "attention"],
            &["plot", "curves"],
            &["config"],
            &["config", "show"],
            &["config", "check"],
            &["config", "explain"],
            &["bench"],
            &["compare"],
            &["tokenizer"],
            &["tokenizer", "train"],
            &["tokenizer", "encode"],
            &["tokenizer", "decode"],
            &["tokenizer", "import"],
            &["tokenizer", "info"],
            &["completions"],
        ];
        for verb in verbs {
            let text = help(verb);
            let wide = text.lines().find(|line| line.chars().count() > 80);
            assert_eq!(wide, None, "too wide in the help of {verb:?}");
            let name = if verb.is_empty() { "seqweave".to_owned() } else { verb.join("-") };
            insta::assert_snapshot!(format!("help-{name}"), text);
        }
    }
}
