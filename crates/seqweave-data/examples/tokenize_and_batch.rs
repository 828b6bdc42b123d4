//! From lines of text to batches: read, filter, number, batch, and stop and go on.
//!
//! `cargo run -p seqweave-data --example tokenize_and_batch -- train.tsv` reads lines `source<TAB>target`;
//! without a file a small corpus is made up.

use std::error::Error;
use std::path::PathBuf;

use seqweave_data::{
    BatchConfig, BatchPlan, DataConfig, Level, Pair, Position, SourceSpec, load, prefetch, prepare,
};

fn main() -> Result<(), Box<dyn Error>> {
    let pairs = match std::env::args_os().nth(1) {
        Some(path) => load(&SourceSpec::Tsv { path: PathBuf::from(path) })?,
        None => numbers_in_words(),
    };

    // Words on the source side, characters on the target side.
    let mut config = DataConfig::default();
    config.src.level = Level::Word;
    config.tgt.level = Level::Char;
    config.filter.dedup = true;
    let data = prepare(&pairs, &config)?;
    println!("{}\nfingerprint: {}\n", data.report, data.examples.fingerprint());

    let (seed, batch) = (7, BatchConfig { tokens: 512, ..BatchConfig::default() });
    let plan = BatchPlan::of(&data.examples, batch)?;
    for epoch in 0..2 {
        println!("epoch {epoch}: {}", plan.waste(&plan.epoch(seed, epoch)));
    }

    println!("\nthe first batches:");
    let mut stopped_at = Position::default();
    for (position, batch) in prefetch(plan.clone().batches(seed, stopped_at)?, 2)?.take(3) {
        let example = data.examples.get(batch[0])?;
        let (src, tgt) = (data.src.decode(&example.src)?, data.tgt.decode(&example.tgt)?);
        println!("  batch {}: {} sentences, such as {src:?} -> {tgt:?}", position.batch, batch.len());
        stopped_at = position.after();
    }

    let resumed = plan.batches(seed, stopped_at)?.next();
    println!("\nresumed at {stopped_at:?}: {} sentences", resumed.map_or(0, |(_, batch)| batch.len()));
    Ok(())
}

/// Numbers below 1000, digit by digit in words, with their figures: "four two" -> "42".
fn numbers_in_words() -> Vec<Pair> {
    const DIGITS: [&str; 10] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let words =
        |n: u64| n.to_string().bytes().map(|b| DIGITS[usize::from(b - b'0')]).collect::<Vec<_>>().join(" ");
    (0..1000).map(|n| Pair { src: words(n), tgt: n.to_string(), line: n + 1 }).collect()
}
