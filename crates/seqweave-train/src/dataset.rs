//! The data of a run: read, split, filtered, encoded.

use crate::Result;
use crate::config::Config;
use seqweave_data::{BatchPlan, Codec, Example, Fnv64, Pair, load_corpora, prepare};

/// Everything a run takes from its corpora.
pub(crate) struct Dataset {
    pub(crate) source: Codec,
    pub(crate) target: Codec,
    pub(crate) examples: Vec<Example>,
    pub(crate) plan: BatchPlan,
    pub(crate) dev: Vec<Pair>,
    /// Pairs that were set apart for a test and lie in no file of their own.
    pub(crate) test: Vec<Pair>,
    /// The data in a few lines, for the log.
    pub(crate) facts: Vec<String>,
}

impl Dataset {
    pub(crate) fn open(config: &Config) -> Result<Dataset> {
        let corpora = load_corpora(&config.data)?;
        let prepared = prepare(&corpora.train, &config.data)?;
        let plan = BatchPlan::of(&prepared.examples, config.train.batch.clone())?;
        let waste = plan.waste(&plan.epoch(config.seed, 0));
        let mut facts = vec![prepared.report.filter.to_string()];
        if corpora.held_out > 0 {
            facts.push(format!("left out {} training pairs whose source is held out", corpora.held_out));
        }
        facts.push(format!("source: {}", prepared.report.src));
        facts.push(format!("target: {}", prepared.report.tgt));
        facts.push(format!("an epoch: {waste}"));
        let oversized = plan.oversized();
        if oversized > 0 {
            facts.push(format!(
                "{oversized} pairs are longer than the {} tokens of a batch: each is one of its own",
                config.train.batch.tokens
            ));
        }
        facts.push(format!("development: {} pairs", corpora.dev.len()));
        let test = if config.data.test.is_none() { corpora.test } else { Vec::new() };
        if !test.is_empty() {
            facts.push(format!("test: {} pairs, set apart in test.tsv of the run folder", test.len()));
        }
        Ok(Dataset {
            source: prepared.src,
            target: prepared.tgt,
            examples: prepared.examples,
            plan,
            dev: corpora.dev,
            test,
            facts,
        })
    }

    /// A number that changes when training or development data do.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hash = Fnv64::default();
        for example in &self.examples {
            hash.ids(&example.src);
            hash.ids(&example.tgt);
        }
        let mut text = |text: &str| {
            hash.number(text.len() as u64);
            hash.bytes(text.as_bytes());
        };
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
