//! The options of `compare`, and those that it shares with `evaluate`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueHint};
use seqweave_data::is_mostly_unspaced;
use seqweave_metrics::{Metric, SEED, TextOptions, Tok};

/// What a score of texts depends on.
#[derive(Debug, Clone, Copy, PartialEq, ClapArgs)]
#[command(next_help_heading = "Scores of texts")]
pub struct Scoring {
    /// Tokenizer of BLEU: 13a, intl, zh, char, none; zh for Chinese
    #[arg(long, value_name = "NAME", default_value = "13a")]
    pub tok: Tok,
    /// BLEU and chrF of text in lower case
    #[arg(long)]
    pub lowercase: bool,
    /// Corpora drawn for confidence intervals and p-values; 0 for none
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub bootstrap: usize,
    /// Where the drawing begins
    #[arg(long, value_name = "N", default_value_t = SEED)]
    pub bootstrap_seed: u64,
}

impl Scoring {
    /// The part that values depend on.
    pub fn options(self) -> TextOptions {
        TextOptions { tok: self.tok, lowercase: self.lowercase, ..TextOptions::default() }
    }

    /// What to say where BLEU would take a line for one word.
    pub fn doubt<'t>(
        self,
        metrics: &[Metric],
        references: impl IntoIterator<Item = &'t str>,
    ) -> Option<String> {
        let asked = metrics.contains(&Metric::Bleu) && self.tok.needs_blanks();
        (asked && is_mostly_unspaced(references)).then(|| {
            format!(
                "the references are of a script that puts no blanks between words, and BLEU with --tok {} takes what stands \
                 between blanks for a word: use --tok zh for Chinese, --tok char for other scripts, unless they were cut \
                 into words before",
                self.tok
            )
        })
    }

    /// Samples and seed, if there is to be an interval.
    pub fn bootstrap(self) -> Option<(usize, u64)> {
        (self.bootstrap > 0).then_some((self.bootstrap, self.bootstrap_seed))
    }
}

/// `compare`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
The first system is the baseline. Each other one is tested against it by paired
bootstrap resampling: a p-value below 0.05 says that the difference is hardly
the luck of these sentences. With --src, wer, per, cer and acc take the lines of
one source as one item with several references, as `evaluate` does.

Examples:
  seqweave compare --ref test.en first.en second.en
  seqweave compare --ref test.en --src test.de runs/small runs/large")]
pub struct Compare {
    /// Two or more systems: files of output lines, or models, which translate --src
    #[arg(value_name = "SYSTEM", required = true, num_args = 2.., value_hint = ValueHint::AnyPath)]
    pub systems: Vec<PathBuf>,
    /// File of reference lines; once for each reference that a line has
    #[arg(long = "ref", value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub references: Vec<PathBuf>,
    /// File of source lines, for models and for f0.5
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub src: Option<PathBuf>,
    /// Measures of texts: bleu, chrf, chrf++, ter, rouge1, rouge2, rougel, f0.5,
    /// wer, per, cer, acc
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "bleu,chrf")]
    pub metrics: Vec<Metric>,
    /// One JSON document instead of text
    #[arg(long)]
    pub json: bool,
    /// Scores.
    #[command(flatten)]
    pub scoring: Scoring,
    /// The search, for models.
    #[command(flatten)]
    pub search: super::Search,
}
