//! The data of a run: read, split, filtered, encoded.

use crate::Result;
use crate::config::Config;
use seqweave_data::{
    BatchPlan, Codec, Examples, Fnv64, Known, Level, Pair, Resampler, is_mostly_unspaced, read_data_from,
    to_tsv,
};
use seqweave_metrics::Metric;

/// Everything a run takes from its corpora.
pub(crate) struct Dataset {
    pub(crate) source: Codec,
    pub(crate) target: Codec,
    pub(crate) examples: Examples,
    /// Cuts the examples anew for each epoch, where a side asks for it.
    pub(crate) resampler: Option<Resampler>,
    pub(crate) plan: BatchPlan,
    pub(crate) dev: Vec<Pair>,
    /// Pairs that were set apart for a test and lie in no file of their own.
    pub(crate) test: Vec<Pair>,
    /// The data in a few lines, for the log.
    pub(crate) facts: Vec<String>,
}

impl Dataset {
    /// Reads the data; `known` are the tokens of a model that is trained further.
    pub(crate) fn open(config: &Config, known: Option<Known<'_>>) -> Result<Dataset> {
        let data = read_data_from(&config.data, known)?;
        let plan = BatchPlan::of(&data.examples, config.train.batch.clone())?;
        let mut facts: Vec<String> = data.report.to_string().lines().map(str::to_owned).collect();
        for (name, codec) in [("src", &data.src), ("tgt", &data.tgt)] {
            let tokens = codec.vocab.iter().map(|(token, _)| token);
            if codec.tokenizer.level == Level::Word && is_mostly_unspaced(tokens) {
                facts.push(format!(
                    "{name}: most characters are of a script without spaces, and data.{name}.level is \"word\", which makes \
                     one token of a whole line; use \"bpe\", \"unigram\" or \"char\""
                ));
            }
        }
        let targets = data.dev.iter().map(|pair| pair.tgt.as_str());
        let bleu = config.valid.metrics.contains(&Metric::Bleu) && config.valid.tok.needs_blanks();
        if bleu && is_mostly_unspaced(targets) {
            facts.push(format!(
                "valid: the targets are of a script that puts no blanks between words, and BLEU with valid.tok = \"{}\" \
                 takes what stands between blanks for a word; use \"zh\" for Chinese, \"char\" for other scripts, unless \
                 they were cut into words before",
                config.valid.tok
            ));
        }
        let waste = plan.waste(&plan.block(config.seed, 0, 0));
        facts.push(match plan.blocks() {
            1 => format!("an epoch: {waste}"),
            blocks => format!("an epoch: {blocks} blocks such as the first: {waste}"),
        });
        let oversized = plan.oversized();
        if oversized > 0 {
            facts.push(format!(
                "{oversized} pairs are longer than the {} tokens of a batch: each is one of its own",
                config.train.batch.tokens
            ));
        }
        // Planning has looked at the lengths of all examples, and nothing needs them all again.
        data.examples.forget();
        facts.push(format!("development: {} pairs", data.dev.len()));
        let test = if config.data.test.is_none() { data.test } else { Vec::new() };
        if !test.is_empty() {
            let name = if to_tsv(&test, config.data.features.is_some()).is_some() {
                "test.tsv"
            } else {
                "test.jsonl"
            };
            facts.push(format!("test: {} pairs, set apart in {name} of the run folder", test.len()));
        }
        let texts = data.texts.iter().map(|pair| (pair.src.as_str(), pair.tgt.as_str()));
        let sides = [(&data.src, config.data.src.noise()), (&data.tgt, config.data.tgt.noise())];
        let resampler = Resampler::new(config.seed, sides, texts);
        if resampler.is_some() {
            facts.push("pieces are cut anew in each epoch: its batches and tokens are other ones".to_owned());
        }
        Ok(Dataset {
            resampler,
            source: data.src,
            target: data.tgt,
            examples: data.examples,
            plan,
            dev: data.dev,
            test,
            facts,
        })
    }

    /// A number that changes when training or development data do, and is the same for text and its shards.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hash = Fnv64::default();
        let mut text = |text: &str| {
            hash.number(text.len() as u64);
            hash.bytes(text.as_bytes());
        };
        text(self.examples.fingerprint());
        // Ids mean nothing without their tokens.
        for (token, _) in self.source.vocab.iter().chain(self.target.vocab.iter()) {
            text(token);
        }
        for pair in &self.dev {
            text(&pair.src);
            text(&pair.tgt);
        }
        format!("{:016x}", hash.finish())
    }
}
