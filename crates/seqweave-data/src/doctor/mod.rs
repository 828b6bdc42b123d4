//! A look over corpora before anything is trained: what there is, what is odd, what to do about it.
//!
//! It reads the text twice and takes about forty bytes a pair, to know what comes twice.

mod survey;

use std::fmt;

use serde::Serialize;

use crate::codec::Codec;
use crate::config::{DataConfig, SideConfig};
use crate::corpus::{Pair, TrainSpec};
use crate::divide::Place;
use crate::error::Result;
use crate::hash::source_hash;
use crate::known::Known;
use crate::prepare::{Divided, PrepareReport, stream_of, text_sources};
use crate::shard::ShardFolder;
use crate::stream::Stream;
use crate::tokenize::Level;
use crate::vocab::UNK;

use survey::{Side, Survey};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Results will be wrong or poor.
    Problem,
    /// Results may be better otherwise.
    Advice,
}

/// Something odd, and what to do about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// A word for programs, such as `duplicates`.
    pub what: &'static str,
    /// What was found, in a sentence.
    pub found: String,
    /// What to do.
    pub help: String,
}

impl Finding {
    /// A finding.
    pub fn new(
        severity: Severity,
        what: &'static str,
        found: impl fmt::Display,
        help: impl fmt::Display,
    ) -> Self {
        Self { severity, what, found: found.to_string(), help: help.to_string() }
    }
}

/// One side of the training pairs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SideFacts {
    /// Half of the texts have at most so many tokens, tags included (words, at the levels of pieces).
    pub median: u32,
    /// 99 of 100 texts have at most so many.
    pub p99: u32,
    /// The longest text.
    pub longest: u32,
    /// The scripts of the letters and their shares, the largest first; those below a thousandth are left out.
    pub scripts: Vec<(String, f64)>,
    /// The share of tokens of the dev and test pairs that the vocabulary does not know.
    pub held_out_unknown: f64,
}

/// What [`diagnose`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diagnosis {
    /// What becomes of the training pairs under this configuration.
    pub report: PrepareReport,
    /// Tokens of both sides that an epoch has, weights counted.
    pub tokens: u64,
    /// Validation pairs.
    pub dev: usize,
    /// Test pairs.
    pub test: usize,
    /// Source and target; none for shards, whose text is not there.
    pub sides: Option<[SideFacts; 2]>,
    /// What is odd, the worst first.
    pub findings: Vec<Finding>,
    /// Tokens of each vocabulary.
    pub vocab: [usize; 2],
    /// Tags among those of the source.
    pub tags: usize,
}

/// Looks over the corpora of a configuration; `known` are the tokens of a model that is to be trained further. Nothing is changed and nothing written.
///
/// # Errors
/// Bad values, and what cannot be read: the first fault of a corpus, damaged shards.
pub fn diagnose(config: &DataConfig, known: Option<Known<'_>>) -> Result<Diagnosis> {
    if let Some(TrainSpec::Shards(dir)) = &config.train {
        config.problems().into_result()?;
        let folder = ShardFolder::open(dir)?;
        folder.check(dir, config)?;
        folder.check_tokens(dir, known)?;
        let report = folder.info.report;
        let mut findings = Vec::new();
        of_report(config, &report, &mut findings);
        of_sets(folder.dev.len(), &mut findings);
        return Ok(Diagnosis {
            tokens: report.src.tokens + report.tgt.tokens,
            vocab: [report.src.size, report.tgt.size],
            tags: folder.src.tags(),
            report,
            dev: folder.dev.len(),
            test: folder.test.len(),
            sides: None,
            findings: sorted(findings),
        });
    }
    let sources = text_sources(config)?;
    let stream = stream_of(sources, config)?;
    let divided = Divided::of(config, &stream)?;
    let survey = look(config, &stream, &divided)?;
    let numbered =
        divided.encode(config, &stream, known, &mut |_| Ok(()), &mut |_| ())?.number(config, known)?;
    let weighted = |(n, source): (&u64, &crate::corpus::WeightedSource)| *n as f64 * source.weight;
    let (shown, kept) = (
        numbered.parts.iter().zip(sources).map(weighted).sum::<f64>(),
        numbered.parts.iter().sum::<u64>().max(1) as f64,
    );
    let report = numbered.report;
    let held_out: Vec<&Pair> = numbered.dev.iter().chain(&numbered.test).collect();
    let mut findings = Vec::new();
    of_report(config, &report, &mut findings);
    of_pairs(config, &survey, &mut findings);
    of_sets(numbered.dev.len(), &mut findings);
    let sides = [
        ("src", "source", &config.src, &survey.sides[0], &numbered.src),
        ("tgt", "target", &config.tgt, &survey.sides[1], &numbered.tgt),
    ];
    let mut facts = Vec::new();
    for (i, (key, name, side, seen, codec)) in sides.into_iter().enumerate() {
        let texts = held_out.iter().map(|pair| [&pair.src, &pair.tgt][i].as_str());
        let of = facts_of(seen, codec, texts);
        of_side(config, (key, name), side, seen, &of, &mut findings);
        facts.push(of);
    }
    let sides = facts.try_into().ok();
    Ok(Diagnosis {
        tokens: ((report.src.tokens + report.tgt.tokens) as f64 * shown / kept) as u64,
        vocab: [report.src.size, report.tgt.size],
        tags: numbered.src.tags(),
        report,
        dev: numbered.dev.len(),
        test: numbered.test.len(),
        sides,
        findings: sorted(findings),
    })
}

fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// Looks at every pair that training would see, sources of dev and test included.
fn look(config: &DataConfig, stream: &Stream<'_>, divided: &Divided) -> Result<Survey> {
    let ((src, tgt), seed) = (config.tokenizers(), config.split.seed);
    let given = divided.dev.iter().chain(&divided.test).flatten();
    let held_out: std::collections::HashSet<u64> =
        given.map(|pair| source_hash(seed, &src, &pair.src)).collect();
    let is_training = |hash| !matches!(divided.divider.place(hash), Place::Dev | Place::Test);
    let mut survey = Survey::default();
    stream.for_each(|chunk| {
        survey.see(&chunk, (&src, &tgt), seed, is_training, |hash| held_out.contains(&hash));
        Ok(())
    })?;
    Ok(survey)
}

fn facts_of<'t>(seen: &Side, codec: &Codec, held_out: impl Iterator<Item = &'t str>) -> SideFacts {
    let letters: u64 = seen.scripts.values().sum();
    let share = |n: u64| n as f64 / letters.max(1) as f64;
    let mut scripts: Vec<(String, f64)> =
        seen.scripts.iter().map(|(name, n)| ((*name).to_owned(), share(*n))).collect();
    scripts.retain(|(_, share)| *share >= 0.001);
    scripts.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let (mut tokens, mut unknown) = (0usize, 0);
    for text in held_out {
        let ids = codec.encode(text);
        tokens += ids.len();
        unknown += ids.iter().filter(|id| **id == UNK).count();
    }
    SideFacts {
        median: seen.lengths.quantile(0.5),
        p99: seen.lengths.quantile(0.99),
        longest: seen.lengths.quantile(1.0),
        scripts,
        held_out_unknown: unknown as f64 / tokens.max(1) as f64,
    }
}

/// `12 of 300 pairs (4.0 %)`
fn part(n: u64, all: u64) -> String {
    format!("{n} of {all} pairs ({:.1} %)", 100.0 * n as f64 / all.max(1) as f64)
}

/// What the filter and the vocabularies say.
fn of_report(config: &DataConfig, report: &PrepareReport, findings: &mut Vec<Finding>) {
    let (filter, all) = (&report.filter, report.filter.total() as u64);
    let empty = (filter.empty_src + filter.empty_tgt) as u64;
    if empty > 0 {
        let help = "they are dropped; if there are many, look for the step that has lost them";
        findings.push(Finding::new(
            Severity::Advice,
            "empty",
            format!("{} have an empty side", part(empty, all)),
            help,
        ));
    }
    for (n, key, side) in
        [(filter.long_src, "max_src_len", "source"), (filter.long_tgt, "max_tgt_len", "target")]
    {
        if n as u64 * 200 > all {
            let found = format!("{} are dropped because the {side} is too long", part(n as u64, all));
            findings.push(Finding::new(
                Severity::Advice,
                "too-long",
                found,
                format!("raise data.filter.{key}"),
            ));
        }
    }
    if filter.kept * 2 < filter.total() {
        let found = format!("more than half of the pairs are dropped: {filter}");
        let help = "look at data.filter: some bound does not fit this corpus";
        findings.push(Finding::new(Severity::Problem, "filter", found, help));
    }
    for (vocab, side, key) in [(&report.src, &config.src, "src"), (&report.tgt, &config.tgt, "tgt")] {
        let share = 100.0 * vocab.unknown as f64 / vocab.tokens.max(1) as f64;
        if share > 1.0 {
            let found =
                format!("{share:.1} % of the {key} tokens are not in the vocabulary of {}", vocab.size);
            let help = match side.level {
                Level::Word => format!("set data.{key}.level = \"bpe\", or raise data.{key}.max_vocab"),
                Level::Char => format!("raise data.{key}.max_vocab, or lower data.{key}.min_freq"),
                Level::Bpe | Level::Unigram | Level::Pieces => format!("set data.{key}.byte_fallback = true"),
            };
            findings.push(Finding::new(Severity::Problem, "unknown", found, help));
        }
    }
}

/// What pairs say together.
fn of_pairs(config: &DataConfig, survey: &Survey, findings: &mut Vec<Finding>) {
    let (filter, all) = (&config.filter, survey.pairs);
    let mut add = |severity, what, n: u64, text: &str, help: &str| {
        findings.push(Finding::new(severity, what, format!("{} {text}", part(n, all)), help));
    };
    if survey.leaks > 0 && !config.exclude_held_out {
        let help = "set data.exclude_held_out = true, or scores will be too good";
        add(Severity::Problem, "leak", survey.leaks, "have a source that is also in dev or test", help);
    } else if survey.leaks > 0 {
        let help = "they are left out of training; nothing to do if that was meant";
        add(Severity::Advice, "leak", survey.leaks, "have a source that is also in dev or test", help);
    }
    if survey.duplicates > 0 && !filter.dedup {
        add(Severity::Advice, "duplicates", survey.duplicates, "came before", "set data.filter.dedup = true");
    }
    if survey.copies * 200 > all && !filter.drop_copies {
        let help = "unless the task copies, set data.filter.drop_copies = true";
        add(Severity::Advice, "copies", survey.copies, "have the same text on both sides", help);
    }
    let odd = survey.ratios.above(90);
    if odd * 1000 > all && filter.max_len_ratio.is_none() {
        let usual = f64::from(survey.ratios.quantile(0.99)) / 10.0;
        let help =
            format!("99 of 100 pairs are below {usual:.1}: set data.filter.max_len_ratio to some more");
        add(Severity::Advice, "ratio", odd, "have one side nine times as long as the other, or more", &help);
    }
    if survey.sides.iter().all(|side| side.longest <= 1) {
        let help = "set data.src.level and data.tgt.level to \"char\" for words, or \"bpe\"";
        add(Severity::Problem, "one-token", all, "have one token a side", help);
    }
}

/// What the texts of one side say.
fn of_side(
    config: &DataConfig,
    (key, name): (&str, &str),
    side: &SideConfig,
    seen: &Side,
    facts: &SideFacts,
    findings: &mut Vec<Finding>,
) {
    let mut add = |severity, what, found: String, help: String| {
        findings.push(Finding::new(severity, what, found, help));
    };
    let texts = |n: u64, text: &str| format!("{n} {name} texts {text}");
    if seen.replaced > 0 {
        let help = "the characters are lost: convert the original file to UTF-8 once more".to_owned();
        add(
            Severity::Problem,
            "replaced",
            texts(seen.replaced, "have U+FFFD, left by a failed conversion"),
            help,
        );
    }
    if seen.twice_encoded > 0 {
        let help = "convert them back, e.g. with Python's ftfy, or drop them".to_owned();
        let found = texts(seen.twice_encoded, "look like UTF-8 that was read as Latin-1 (Ã©, â€™)");
        add(Severity::Problem, "twice-encoded", found, help);
    }
    if seen.controls > 0 {
        let help = "remove them, e.g. `tr -d '\\000-\\010\\013-\\037'`".to_owned();
        add(Severity::Advice, "controls", texts(seen.controls, "have control characters"), help);
    }
    if seen.not_nfc > 0 && side.form == crate::tokenize::Form::None {
        let help = format!("set data.{key}.form = \"nfc\", so that é is one letter and not two");
        add(Severity::Advice, "not-nfc", texts(seen.not_nfc, "are not in normal form C"), help);
    }
    if seen.markup > 0 {
        let help = "take the markup out, unless the task is about it".to_owned();
        add(Severity::Advice, "markup", texts(seen.markup, "have HTML entities or tags"), help);
    }
    if facts.held_out_unknown > 0.02 {
        let found = format!(
            "{:.1} % of the {name} tokens of dev and test are unknown",
            100.0 * facts.held_out_unknown
        );
        let help = match side.level {
            Level::Word => format!("set data.{key}.level = \"bpe\" and data.{key}.byte_fallback = true"),
            Level::Char => "add text to training that has these characters".to_owned(),
            Level::Bpe | Level::Unigram | Level::Pieces => {
                format!("set data.{key}.byte_fallback = true, or add such text to training")
            }
        };
        add(Severity::Problem, "unknown-held-out", found, help);
    }
    const UNSPACED: [&str; 8] = ["Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"];
    let unspaced: f64 = facts
        .scripts
        .iter()
        .filter(|(script, _)| UNSPACED.contains(&&**script))
        .map(|(_, share)| share)
        .sum();
    if side.level == Level::Word && unspaced > 0.3 && facts.median <= 4 {
        let found = format!("the {name} is written without spaces, and data.{key}.level is \"word\"");
        add(Severity::Problem, "unspaced", found, format!("set data.{key}.level = \"char\" or \"bpe\""));
    }
    let named = if key == "src" { &config.filter.src_scripts } else { &config.filter.tgt_scripts };
    if let [(main, most), rest @ ..] = &facts.scripts[..]
        && named.is_empty()
        && *most > 0.9
    {
        let others: Vec<String> = rest
            .iter()
            .filter(|(_, share)| *share >= 0.005)
            .map(|(script, share)| format!("{script} ({:.1} %)", 100.0 * share))
            .collect();
        if !others.is_empty() {
            let found = format!("the {name} is {main}, with {}", others.join(", "));
            let help = format!("if that is noise, set data.filter.{key}_scripts = [\"{main}\"]");
            add(Severity::Advice, "scripts", found, help);
        }
    }
}

/// What the sizes of the sets say.
fn of_sets(dev: usize, findings: &mut Vec<Finding>) {
    if dev < 100 {
        let found = format!("there are only {dev} validation pairs");
        let help = "scores of so few jump about: name a larger data.dev, or raise data.split.dev";
        findings.push(Finding::new(Severity::Advice, "dev-small", found, help));
    } else if dev > 20_000 {
        let found = format!("there are {dev} validation pairs");
        let help = "each validation translates them all: set data.split.dev = 2000, or valid.max_sentences";
        findings.push(Finding::new(Severity::Advice, "dev-large", found, help));
    }
}
