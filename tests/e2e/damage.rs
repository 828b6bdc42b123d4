//! Every change of a checkpoint on disk is noticed: a sample of flipped bits and cut files, through the binary.
//!
//! The tests of `seqweave` and `seqweave-train` try every bit and every length of a small folder in memory.

use seqweave_testkit::SplitMix64;

use crate::dir::Dir;
use crate::models::tiny;

/// How many changes are tried over all files.
const TRIALS: usize = 300;

#[test]
fn no_flipped_bit_and_no_cut_is_accepted() {
    let dir = Dir::new();
    tiny(&dir);
    dir.seqweave("train -q -c config.toml --max-steps 5 --run r").run().good();
    let whole = dir.files("r/checkpoints/step-00000005");
    let names: Vec<&String> = whole.keys().collect();
    assert!(names.len() >= 7, "{names:?}");
    dir.copy(&dir.join("r/checkpoints/step-00000005"), "model");
    dir.seqweave("info model").run().good();

    let mut random = SplitMix64::new(0xda3a9e);
    let mut accepted = Vec::new();
    for trial in 0..TRIALS {
        let name = names[trial % names.len()];
        let mut bytes = whole[name].clone();
        let change = if random.below(3) == 0 {
            let length = random.below(bytes.len());
            bytes.truncate(length);
            format!("{name} cut to {length} bytes")
        } else {
            let (at, bit) = (random.below(bytes.len()), random.below(8));
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} of {name} flipped")
        };
        dir.create(&format!("model/{name}"), bytes);
        let ran = match trial % 2 {
            0 => dir.seqweave("info model").run(),
            _ => dir.seqweave("translate -m model").stdin("a b c\n").run(),
        };
        if ran.code != Some(4) || !ran.stdout.is_empty() || !ran.stderr.contains(name.as_str()) {
            accepted.push(format!("{change}\n{}", ran.report()));
        }
        dir.create(&format!("model/{name}"), &whole[name]);
    }
    assert!(
        accepted.is_empty(),
        "{} of {TRIALS} changes were not refused:\n{}",
        accepted.len(),
        accepted.join("\n")
    );
    dir.seqweave("info model").run().good();
}

#[test]
fn a_file_that_goes_missing_is_missed() {
    let dir = Dir::new();
    tiny(&dir);
    dir.seqweave("train -q -c config.toml --max-steps 5 --run r").run().good();
    let checkpoint = dir.join("r/checkpoints/step-00000005");
    for name in dir.files("r/checkpoints/step-00000005").keys() {
        dir.copy(&checkpoint, name);
        std::fs::remove_file(dir.join(name).join(name)).unwrap();
        dir.seqweave(&format!("info {name}"))
            .run()
            .exits(4)
            .says(&format!("{name}/{name}").replace("MANIFEST/", ""));
    }
}
