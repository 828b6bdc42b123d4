//! What the hash of a configuration covers.

use super::*;

#[test]
fn the_hash_covers_what_decides_the_weights_and_nothing_else() {
    let hash = |text: &str| load(&format!("{TRAIN}{text}")).unwrap().value.hash();
    let base = hash("");
    for same in [
        "name = \"other\"",
        "train.epochs = 99",
        "train.max_steps = 7",
        "checkpoint.every = 5",
        "decode.beam = 2",
        "run.threads = 2",
        "run.dir = \"x\"",
        "train.log_every = 1",
        "train.init_from = \"base\"",
        "data.test = \"x.tsv\"",
        "data.dev = \"x.tsv\"",
        "checkpoint.keep_last = 9",
        "valid.samples = 0",
        "train.clip = 5",
    ] {
        assert_eq!(hash(same), base, "{same}");
    }
    for other in [
        "seed = 2",
        "model.hidden = 128",
        "model.dropout = 0.20000003",
        "data.filter.max_len_ratio = 2",
        "train.optimizer.lr = 0.002",
        "train.batch.tokens = 4097",
        "data.filter.dedup = true",
        "valid.every = 7",
        "train.ema = 0.99",
        "train.word_dropout = 0.1",
        "model.dropout_kind = \"variational\"",
        "train.freeze = [\"encoder.*\"]",
        "train.optimizer.groups = [{ match = \"*\", lr_scale = 2 }]",
        "train.optimizer.decay_exclude = []",
    ] {
        assert_ne!(hash(other), base, "{other}");
    }
    let cosine = |key: &str, total| {
        hash(&format!("train = {{ schedule = {{ kind = \"cosine\", total = {total} }}, {key} }}"))
    };
    assert_ne!(cosine("max_steps = 100", 0), cosine("max_steps = 200", 0));
    assert_ne!(cosine("epochs = 3", 0), cosine("epochs = 4", 0));
    assert_eq!(cosine("epochs = 3", 50), cosine("max_steps = 100", 50));
}
