//! SCAN, split "simple": a sharp test of the whole, since a broken gradient does not get there.

use std::io::{Read, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::dir::{Dir, skipped};

/// Lines of the training file that decide which checkpoint is the best, and are not trained on.
const DEV: usize = 500;

#[test]
fn scan_simple_is_learnt() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above");
    let data = root.join("../shared/data/scan");
    let [train, test] = ["train", "test"].map(|part| data.join(format!("simple_{part}.tsv.gz")));
    if !train.exists() || !test.exists() {
        return skipped("no SCAN data (../shared/data/scan beside the workspace)");
    }
    let dir = Dir::new();
    let mut text = String::new();
    MultiGzDecoder::new(std::fs::File::open(&train).unwrap()).read_to_string(&mut text).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (dev, train) = lines.split_at(DEV);
    dir.create("train.tsv", train.concat());
    dir.create("dev.tsv", dev.concat());

    let sets = "--set data.train=train.tsv --set data.dev=dev.tsv";
    let command = dir.seqweave(&format!("train -q --run scan {sets} -c"));
    let trained = command.arg(root.join("docs/configs/scan-simple.toml")).run().good();
    let report = dir.seqweave("evaluate -m scan --json --metrics acc --tsv").arg(&test).run().good().json();
    let accuracy = report["metrics"][0]["value"].as_f64().expect("a number");
    // Past the capture of the test harness: the figure is wanted also when all is well.
    let seconds = trained.took.as_secs_f64();
    writeln!(std::io::stdout(), "SCAN simple: {accuracy:.2} % exact after {seconds:.0} s of training")
        .unwrap();
    assert_eq!(report["items"], 4182, "{report}");
    assert!(accuracy >= 99.0, "{report}");
}
