//! Model folders and run folders that are damaged, incomplete, or something else.

use seqweave::store::{Disk, write_folder};

use super::{Row, allow, nothing, row};
use crate::dir::Dir;

pub fn models() -> Vec<Row> {
    vec![
        row("no such folder", nothing, "translate -m modle", 4, &["there is no folder modle"]),
        row(
            "a file instead of a folder",
            nothing,
            "translate -m words.txt",
            4,
            &["words.txt is a regular file, expected a folder"],
        ),
        row(
            "a mean of one model",
            nothing,
            "average model -o mean",
            2,
            &["a mean needs at least two models, found 1"],
        ),
        row(
            "a mean of more checkpoints than there are",
            nothing,
            "average run --last 9 -o mean",
            4,
            &["run has", "checkpoints that can be read, expected 9", "checkpoint.keep_last"],
        ),
        row(
            "a mean of models of another make",
            |d| {
                d.seqweave("train -q -c config.toml --set model.emb=10 --max-steps 2 --run other")
                    .run()
                    .good();
            },
            "average model other -o mean",
            4,
            &[
                "other/checkpoints/step-00000002 has another model configuration than model",
                "emb: 10 in place of emb: 8",
            ],
        ),
        row(
            "a mean in the place of a model",
            nothing,
            "average model run -o model",
            4,
            &["model already exists and is not replaced"],
        ),
        row(
            "an empty folder",
            |d| d.create_folder("empty"),
            "translate -m empty",
            4,
            &["empty holds no file MANIFEST"],
        ),
        row(
            "a folder of other things",
            |d| d.create("photos/cat.png", "meow"),
            "info photos",
            4,
            &["photos holds no file MANIFEST"],
        ),
        row(
            "a run folder without a checkpoint",
            |d| d.create_folder("new/checkpoints"),
            "translate -m new",
            4,
            &["the run folder new has no checkpoint yet"],
        ),
        row(
            "a folder that may not be read",
            |d| allow(d, "model", 0),
            "translate -m model",
            1,
            &["model", "Permission denied"],
        )
        .without_privileges(),
        row(
            "a file was changed",
            |d| {
                d.edit("model/config.json", |bytes| {
                    *bytes = String::from_utf8_lossy(bytes).replace("lstm", "gru ").into_bytes()
                })
            },
            "translate -m model",
            4,
            &["model/config.json is damaged"],
        ),
        row(
            "a file was cut",
            |d| d.edit("model/model.safetensors", |bytes| bytes.truncate(1000)),
            "translate -m model",
            4,
            &["model/model.safetensors has 1000 bytes, its manifest says"],
        ),
        row(
            "a file is missing",
            |d| std::fs::remove_file(d.join("model/generation.json")).unwrap(),
            "translate -m model",
            4,
            &["model/generation.json is listed in the manifest but missing"],
        ),
        row(
            "the vocabulary of another model",
            |d| d.create("model/source.vocab.json", vocabulary(&["x", "y"])),
            "translate -m model",
            4,
            &["model/source.vocab.json", "its manifest says"],
        ),
        row(
            "the vocabulary of another model, and a manifest that agrees",
            |d| seal_again(d, "source.vocab.json", |_| vocabulary(&["x", "y"])),
            "translate -m model",
            4,
            &[
                "model/model.safetensors: tensor \"encoder.embedding.weight\" has shape [12, 8], expected [6, 8]",
            ],
        ),
        row(
            "weights that are no safetensors file, and a manifest that agrees",
            |d| seal_again(d, "model.safetensors", |_| b"weights".to_vec()),
            "translate -m model",
            4,
            &["model/model.safetensors: not a safetensors file"],
        ),
        row(
            "a weight that is not a number, and a manifest that agrees",
            |d| {
                seal_again(d, "model.safetensors", |mut bytes| {
                    let at = bytes.len() - 4;
                    bytes[at..].copy_from_slice(&f32::NAN.to_le_bytes());
                    bytes
                });
            },
            "translate -m model",
            4,
            &[
                "model/model.safetensors: tensor",
                "has the value NaN at position",
                "expected finite numbers only",
            ],
        ),
        row(
            "a model of a later version",
            |d| {
                seal_again(d, "config.json", |bytes| {
                    String::from_utf8(bytes).unwrap().replace("\"format\": 1", "\"format\": 2").into_bytes()
                });
            },
            "translate -m model",
            4,
            &["model/config.json has format 2, this program reads format 1"],
        ),
        row(
            "a vocabulary of a later version",
            |d| {
                seal_again(d, "target.vocab.json", |bytes| {
                    String::from_utf8(bytes).unwrap().replace("\"version\":1", "\"version\":2").into_bytes()
                });
            },
            "translate -m model",
            4,
            &["model/target.vocab.json: vocabulary version 2, expected 1"],
        ),
        row(
            "a manifest of a later version",
            |d| {
                let text = d.text("model/MANIFEST").replace("manifest 1", "manifest 2");
                let (body, _) = text.trim_end().rsplit_once('\n').unwrap();
                let sum = blake3::hash(format!("{body}\n").as_bytes()).to_hex();
                d.create("model/MANIFEST", format!("{body}\nblake3  {sum}\n"));
            },
            "translate -m model",
            4,
            &["model/MANIFEST has manifest version 2, this program reads version 1"],
        ),
    ]
}

pub fn runs() -> Vec<Row> {
    vec![
        row(
            "`best` names nothing",
            |d| d.create("run/checkpoints/best", "step-00000099\n"),
            "translate -m run",
            4,
            &["run/checkpoints/best should hold the name of a checkpoint folder, found \"step-00000099\""],
        ),
        row(
            "`best` leads elsewhere",
            |d| d.create("run/checkpoints/best", "../../model\n"),
            "translate -m run",
            4,
            &["should hold the name of a checkpoint folder"],
        ),
        row(
            "a run folder that may not be written",
            |d| allow(d, "run", 0o555),
            "train -c config.toml --run run",
            1,
            &["the run folder run cannot be written: Permission denied", "run.dir"],
        )
        .without_privileges(),
        row(
            "a run folder in a folder that may not be written",
            |d| {
                d.create_folder("theirs");
                allow(d, "theirs", 0o555);
            },
            "train -c config.toml --run theirs/run",
            1,
            &["the run folder theirs/run cannot be written: Permission denied", "run.dir"],
        )
        .without_privileges(),
        row(
            "a file with the name of the run folder",
            |d| d.create("taken", ""),
            "train -c config.toml --run taken",
            1,
            &["cannot create the run folder", "taken"],
        ),
        row(
            "a file with the name of the run folder of a rehearsal",
            |d| d.create("taken", ""),
            "train -c config.toml --run taken --dry-run",
            1,
            &["cannot create the run folder", "taken"],
        ),
        row(
            "a run folder below a file",
            |d| d.create("taken", ""),
            "train -c config.toml --run taken/run",
            1,
            &["cannot create the run folder", "taken/run", "Not a directory"],
        ),
        row(
            "a model to start from that is not there",
            nothing,
            "train -c config.toml --init-from modle --run new",
            4,
            &["there is no folder", "modle"],
        ),
        row(
            "a model to start from that cuts text in another way",
            nothing,
            "train -c config.toml --init-from model --set data.src.level=char --run new",
            3,
            &["its src has level = \"word\"", "data.src asks for level = \"char\"", "set data.src"],
        ),
        row(
            "a model to start from, and a tokenizer file with other pieces",
            |d| {
                d.create("text.txt", "abc bcd cde\nabcde edcba\n".repeat(9));
                for (name, size) in [("one.json", 20), ("two.json", 15)] {
                    let learn = format!("tokenizer train --input text.txt --vocab-size {size} -o {name}");
                    d.seqweave(&learn).run().good();
                }
                let train =
                    "train -q -c config.toml --max-steps 2 --set data.src.tokenizer=one.json --run pieces";
                d.seqweave(train).run().good();
            },
            "train -c config.toml --init-from pieces --set data.src.tokenizer=two.json --run new",
            3,
            &[
                "its src has pieces by BPE",
                "data.src asks for the pieces of two.json",
                "set data.src to what",
            ],
        ),
        row(
            "a run folder of other settings",
            nothing,
            "train -c config.toml --run run --set model.hidden=16",
            3,
            &["was made with other settings", "--overwrite"],
        ),
        row(
            "a run folder of other data",
            |d| d.edit("train.tsv", |bytes| bytes.extend(b"a b\tb a\n")),
            "train -c config.toml --run run",
            3,
            &["was made with other training data", "--overwrite"],
        ),
        row(
            "no checkpoint of the run is whole",
            |d| {
                for name in d.files("run/checkpoints").keys().filter(|name| name.ends_with("state.bin")) {
                    d.edit(&format!("run/checkpoints/{name}"), |bytes| bytes.truncate(100));
                }
            },
            "train -c config.toml --run run",
            4,
            &["no checkpoint of", "can be read", "--overwrite"],
        ),
        row(
            "a folder that is not empty",
            nothing,
            "init model",
            2,
            &["this is there already and not empty", "model"],
        ),
        row(
            "a folder below a file",
            nothing,
            "init words.txt/demo",
            1,
            &["cannot make the folder", "words.txt/demo"],
        ),
        row(
            "no run folder",
            nothing,
            "plot curves model",
            4,
            &["cannot read the metrics of a run", "model/metrics.tsv"],
        ),
        row(
            "a table of metrics that is no table",
            |d| d.create("run/metrics.tsv", "step\tepoch\tlr\n1\t0\tfast\n"),
            "plot curves run",
            4,
            &["expected a number, found `fast`", "run/metrics.tsv:2"],
        ),
        row(
            "a report of a folder that is no run folder",
            nothing,
            "report model",
            4,
            &["cannot read the metrics of a run", "model/metrics.tsv"],
        ),
        row(
            "a report of a run whose development pairs are gone",
            |d| {
                let config = d.text("run/config.toml");
                let line = config.lines().find(|line| line.starts_with("dev = \"")).unwrap();
                d.create("run/config.toml", config.replace(line, "dev = \"gone.tsv\""));
            },
            "report run",
            4,
            &["run/gone.tsv", "--test FILE", "--no-evaluate"],
        ),
        row(
            "watching a folder that is not there",
            nothing,
            "watch runs/none",
            4,
            &["there is no such run folder", "runs/none"],
        ),
        row(
            "watching a folder that is no run folder",
            nothing,
            "watch model --once",
            4,
            &["cannot read the log of the run", "model/log.jsonl"],
        ),
    ]
}

/// A vocabulary file.
fn vocabulary(tokens: &[&str]) -> Vec<u8> {
    let special = ["<pad>", "<unk>", "<s>", "</s>"];
    let tokens: Vec<_> = special.iter().chain(tokens).map(|token| serde_json::json!([token, 1])).collect();
    serde_json::json!({ "version": 1, "tokens": tokens }).to_string().into_bytes()
}

/// Changes a file of `model`, and makes the manifest agree: what a checksum cannot notice.
fn seal_again(d: &Dir, name: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let mut files = d.files("model");
    files.remove("MANIFEST");
    let changed = change(files.remove(name).expect("the file is there"));
    assert!(files.insert(name.to_owned(), changed).is_none());
    std::fs::remove_dir_all(d.join("model")).unwrap();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    write_folder(&Disk, &d.join("model"), &files).unwrap();
}
