//! The bad inputs: one row each. Everything runs in a folder that [`super::base`] has filled.

use std::io::Write;

use seqweave::store::{Disk, write_folder};

use crate::dir::Dir;

/// A bad input and what is made of it.
pub struct Row {
    /// What is wrong.
    pub input: &'static str,
    /// Makes it.
    pub make: fn(&Dir),
    /// The words after `seqweave`; `< FILE` at the end stands for itself.
    pub command: &'static str,
    pub exit: i32,
    /// What the message must contain.
    pub says: &'static [&'static str],
}

fn row(
    input: &'static str,
    make: fn(&Dir),
    command: &'static str,
    exit: i32,
    says: &'static [&'static str],
) -> Row {
    Row { input, make, command, exit, says }
}

/// The rows under their headings.
pub fn sections() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("Text to translate", text()),
        ("Sentence pairs", pairs()),
        ("Training data", training_data()),
        ("Configuration", configuration()),
        ("Model folders", models()),
        ("Run folders", runs()),
        ("Options", options()),
        ("Figures", figures()),
    ]
}

fn nothing(_: &Dir) {}

fn text() -> Vec<Row> {
    let utf16 = |d: &Dir| d.create("words.txt", "\u{feff}a b".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    vec![
        row(
            "a byte that is not UTF-8",
            |d| d.create("words.txt", b"a b\nc \xe9 d\n"),
            "translate -m model -i words.txt",
            4,
            &["words.txt:2: invalid UTF-8 at byte 6", "iconv"],
        ),
        row("UTF-16", utf16, "translate -m model -i words.txt", 4, &["words.txt:1: invalid UTF-8", "UTF-16"]),
        row(
            "a NUL",
            |d| d.create("words.txt", b"a b\n\nc\0d\n"),
            "translate -m model < words.txt",
            4,
            &["stdin:3: NUL character at byte 6"],
        ),
        row(
            "a line of 10 MB",
            |d| d.create("words.txt", "a ".repeat(5 << 20)),
            "translate -m model -i words.txt",
            4,
            &["words.txt:1: the line is longer than 1048576 bytes"],
        ),
        row("no such file", nothing, "translate -m model -i wrods.txt", 4, &["wrods.txt", "No such file"]),
        row(
            "a folder instead of a file",
            |d| d.create_folder("words"),
            "translate -m model -i words",
            4,
            &["words: expected a text file, found a directory"],
        ),
        row(
            "a file that the system refuses to read",
            nothing,
            "translate -m model -i /proc/self/mem",
            4,
            &["/proc/self/mem: cannot read"],
        ),
        row(
            "the output is the input",
            nothing,
            "translate -m model -i words.txt -o words.txt",
            2,
            &["are the same file", "words.txt"],
        ),
        row(
            "an output in a folder that is not there",
            nothing,
            "translate -m model -i words.txt -o out/words.txt",
            1,
            &["cannot create the output", "out/words.txt"],
        ),
        row(
            "an output on a full disk",
            nothing,
            "translate -m model -i words.txt -o /dev/full",
            1,
            &["/dev/full", "No space left on device"],
        ),
    ]
}

fn pairs() -> Vec<Row> {
    vec![
        row(
            "a line without a tab",
            |d| d.create("test.tsv", "a b\tb a\nc d d c\n"),
            "evaluate -m model --tsv test.tsv",
            4,
            &["test.tsv:2: expected 2 columns (source<TAB>target), found 1"],
        ),
        row(
            "a line with two tabs",
            |d| d.create("test.tsv", "a b\tb a\t0.5\n"),
            "evaluate -m model --tsv test.tsv",
            4,
            &["test.tsv:1: expected 2 columns (source<TAB>target), found 3"],
        ),
        row(
            "an empty file",
            |d| d.create("test.tsv", ""),
            "evaluate -m model --tsv test.tsv",
            4,
            &["test.tsv: the file is empty"],
        ),
        row(
            "files of different lengths",
            |d| {
                d.create("test.src", "a\nb\nc\nd\n");
                d.create("test.tgt", "a\nb\n");
            },
            "evaluate -m model test.src test.tgt",
            4,
            &["test.src:3: this line has no partner: test.src has 4 lines, test.tgt has 2"],
        ),
        row(
            "the second file is missing",
            |d| d.create("test.src", "a\n"),
            "evaluate -m model test.src test.tgt",
            4,
            &["test.tgt: no such file"],
        ),
        row(
            "a folder instead of a file",
            |d| d.create_folder("pairs"),
            "score -m model --tsv pairs",
            4,
            &["pairs: expected a text file, found a directory"],
        ),
        row(
            "a gzip file that was cut",
            |d| {
                let whole = gzip("a b c\tc b a\n".repeat(5000).as_bytes());
                d.create("test.tsv.gz", &whole[..whole.len() / 2]);
            },
            "evaluate -m model --tsv test.tsv.gz",
            4,
            &["test.tsv.gz: damaged gzip data after line"],
        ),
        row(
            "a plain file with the name of a gzip file",
            |d| d.create("test.tsv.gz", "a\ta\n"),
            "score -m model --tsv test.tsv.gz",
            4,
            &["test.tsv.gz", "does not begin with the gzip magic"],
        ),
        row(
            "a byte that is not UTF-8",
            |d| d.create("test.tsv", b"a\tb\nc\xff\td\n"),
            "score -m model --tsv test.tsv",
            4,
            &["test.tsv:2: invalid UTF-8 at byte 5", "byte FF"],
        ),
        row(
            "a NUL",
            |d| d.create("test.tsv", "a\tb\0\n"),
            "evaluate -m model --tsv test.tsv",
            4,
            &["test.tsv:1: NUL character at byte 3"],
        ),
        row(
            "a quality gate that is not met",
            |d| d.create("test.tsv", "a\tnever said\n"),
            "evaluate -q -m model --tsv test.tsv --fail-under acc=90",
            6,
            &[],
        ),
    ]
}

fn training_data() -> Vec<Row> {
    vec![
        row(
            "a byte that is not UTF-8",
            |d| d.edit("train.tsv", |bytes| bytes.extend(b"a \xc3\t\xc3 a\n")),
            "train -c config.toml",
            4,
            &["train.tsv:241: invalid UTF-8", "byte 3 of the line"],
        ),
        row(
            "a NUL",
            |d| d.create("train.tsv", "a\ta\n\0\tb\n"),
            "train -c config.toml",
            4,
            &["train.tsv:2: NUL character"],
        ),
        row(
            "a line of 10 MB",
            |d| d.create("train.tsv", format!("a\ta\n{}\tb\n", "b ".repeat(5 << 20))),
            "train -c config.toml",
            4,
            &["train.tsv:2: the line is longer than 1048576 bytes"],
        ),
        row(
            "lines that are empty on one side",
            |d| d.edit("train.tsv", |bytes| bytes.extend(b"a b\t\n\tb a\n \t \n")),
            "train -c config.toml",
            0,
            &["empty"],
        ),
        row(
            "every line is empty on one side",
            |d| d.create("train.tsv", "a\t\n\tb\n"),
            "train -c config.toml",
            4,
            &["no training pair is left"],
        ),
        row(
            "files of different lengths",
            |d| {
                d.create("train.src", "a\nb\nc\n");
                d.create("train.tgt", "a\nb\nc\nd\n");
                d.create("parallel.toml", "data.train = { src = \"train.src\", tgt = \"train.tgt\" }");
            },
            "train -c parallel.toml",
            4,
            &["train.tgt:4: this line has no partner"],
        ),
        row(
            "a line without a tab",
            |d| d.edit("train.tsv", |bytes| bytes.extend(b"a b b a\n")),
            "train -c config.toml",
            4,
            &["train.tsv:241: expected 2 columns"],
        ),
        row("no such file", nothing, "train -c config.toml --set data.train=trian.tsv", 4, &["trian.tsv: no such file"]),
        row("an empty file", |d| d.create("train.tsv", ""), "train -c config.toml", 4, &["train.tsv: the file is empty"]),
        row(
            "a gzip file that was cut",
            |d| {
                let whole = gzip(&d.read("train.tsv"));
                d.create("train.tsv.gz", &whole[..whole.len() - 20]);
            },
            "train -c config.toml --set data.train=train.tsv.gz",
            4,
            &["train.tsv.gz: damaged gzip data after line"],
        ),
        row(
            "too few pairs to take some for validation",
            |d| d.create("one.tsv", "a b\tb a\n"),
            "train -c no-dev.toml --set data.train=one.tsv",
            4,
            &["split"],
        ),
    ]
}

fn configuration() -> Vec<Row> {
    vec![
        row("no such file", nothing, "train -c confg.toml", 3, &["cannot read the configuration confg.toml", "No such file"]),
        row("a folder instead of a file", nothing, "train -c model", 3, &["cannot read the configuration model"]),
        row(
            "a file that is not TOML",
            |d| d.create("config.toml", "[data]\ntrain = train.tsv\n"),
            "train -c config.toml",
            3,
            &["config.toml:2:9: not valid TOML"],
        ),
        row(
            "a file that is not UTF-8",
            |d| d.create("config.toml", b"# Gr\xfc\xdfe\n"),
            "train -c config.toml",
            3,
            &["config.toml:1:5: not valid TOML: the byte 0xfc at offset 4 is not UTF-8"],
        ),
        row(
            "an unknown key",
            |d| d.edit("config.toml", |bytes| bytes.extend(b"[decode]\nbeem = 4\n")),
            "train -c config.toml",
            3,
            &["config.toml:", "unknown key `decode.beem`; did you mean `beam`?"],
        ),
        row(
            "a value of the wrong type",
            |d| d.create("config.toml", "data.train = \"train.tsv\"\nmodel.hidden = \"64\"\n"),
            "train -c config.toml",
            3,
            &["config.toml:2:16: `model.hidden` has the wrong type: expected an integer", "found the string \"64\""],
        ),
        row(
            "a value out of range",
            nothing,
            "train -c config.toml --set train.optimizer.lr=1e30",
            3,
            &["--set: `train.optimizer.lr` is 1e30, expected a number above 0 to 1000"],
        ),
        row(
            "a word that is none of the choices",
            nothing,
            "train -c config.toml --set model.cell=lsmt",
            3,
            &["`model.cell` is \"lsmt\", expected one of \"rnn\", \"lstm\", \"gru\"; did you mean \"lstm\"?"],
        ),
        row(
            "a number that is not finite",
            |d| d.create("config.toml", "data.train = \"train.tsv\"\ntrain.clip = nan\n"),
            "train -c config.toml",
            3,
            &["config.toml:2:14: `train.clip` is NaN, expected a number"],
        ),
        row("no training data", |d| d.create("config.toml", "seed = 2\n"), "train -c config.toml", 3, &["`data.train` is missing"]),
        row(
            "settings that do not go together",
            nothing,
            "train -c config.toml --set model.hidden=33",
            3,
            &["`hidden` is 33, expected an even number because the encoder is bidirectional"],
        ),
        row(
            "four mistakes at once",
            |d| {
                d.create(
                    "config.toml",
                    "data.train = \"train.tsv\"\nmodel.layers = 2\nmodel.hidden = 0\n\
                     train.optimizer.kind = \"adamm\"\nvalid.every = 1.5\n",
                );
            },
            "train -c config.toml",
            3,
            &[
                "the configuration has 4 mistakes",
                "config.toml:2:",
                "unknown key `model.layers`",
                "config.toml:3:",
                "`model.hidden` is 0",
                "config.toml:4:",
                "did you mean \"adam\"?",
                "config.toml:5:",
                "`valid.every` has the wrong type",
            ],
        ),
        row(
            "a version of the format that is not known",
            |d| d.create("config.toml", "version = 2\ndata.train = \"train.tsv\"\n"),
            "train -c config.toml",
            3,
            &["config.toml:1:11: `version` is 2"],
        ),
        row("an override that is no assignment", nothing, "train -c config.toml --set model.hidden", 2, &["--set model.hidden: expected KEY=VALUE"]),
        row("an override of an unknown key", nothing, "train -c config.toml --set model.hiden=64", 3, &["--set: unknown key `model.hiden`; did you mean `hidden`?"]),
        row("a key that is not explained", nothing, "config explain train.hidden", 2, &["there is no key `train.hidden`", "did you mean model.hidden?"]),
    ]
}

fn models() -> Vec<Row> {
    vec![
        row("no such folder", nothing, "translate -m modle", 4, &["there is no folder modle"]),
        row("a file instead of a folder", nothing, "translate -m words.txt", 4, &["words.txt is a regular file, expected a folder"]),
        row("an empty folder", |d| d.create_folder("empty"), "translate -m empty", 4, &["empty holds no file MANIFEST"]),
        row("a folder of other things", |d| d.create("photos/cat.png", "meow"), "info photos", 4, &["photos holds no file MANIFEST"]),
        row(
            "a run folder without a checkpoint",
            |d| d.create_folder("new/checkpoints"),
            "translate -m new",
            4,
            &["the run folder new has no checkpoint yet"],
        ),
        row(
            "a file was changed",
            |d| d.edit("model/config.json", |bytes| *bytes = String::from_utf8_lossy(bytes).replace("lstm", "gru ").into_bytes()),
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
            &["\"encoder.embedding.weight\" has shape [12, 8], expected [6, 8]"],
        ),
        row(
            "weights that are no safetensors file, and a manifest that agrees",
            |d| seal_again(d, "model.safetensors", |_| b"weights".to_vec()),
            "translate -m model",
            4,
            &["not a safetensors file"],
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
            &["has the value NaN at position", "expected finite numbers only"],
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

fn runs() -> Vec<Row> {
    vec![
        row(
            "`best` names nothing",
            |d| d.create("run/checkpoints/best", "step-00000099\n"),
            "translate -m run",
            4,
            &["run/checkpoints/step-00000099"],
        ),
        row("`best` leads elsewhere", |d| d.create("run/checkpoints/best", "../../model\n"), "translate -m run", 4, &["should hold the name of a checkpoint folder"]),
        row(
            "a file with the name of the run folder",
            |d| d.create("taken", ""),
            "train -c config.toml --run taken",
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
        row("a folder that is not empty", nothing, "init model", 2, &["this is there already and not empty", "model"]),
        row("a folder below a file", nothing, "init words.txt/demo", 1, &["cannot make the folder", "words.txt/demo"]),
        row("no run folder", nothing, "plot curves model", 4, &["cannot read the metrics of a run", "model/metrics.tsv"]),
        row(
            "a table of metrics that is no table",
            |d| d.create("run/metrics.tsv", "step\tepoch\tlr\n1\t0\tfast\n"),
            "plot curves run",
            4,
            &["expected a number, found `fast`", "run/metrics.tsv:2"],
        ),
    ]
}

fn options() -> Vec<Row> {
    vec![
        row("no verb", nothing, "", 2, &["Usage: seqweave"]),
        row("an unknown verb", nothing, "tranlate -m model", 2, &["unrecognized subcommand 'tranlate'", "translate"]),
        row("an unknown option", nothing, "translate -m model --beem 4", 2, &["unexpected argument '--beem'", "--beam"]),
        row("no model", nothing, "translate", 2, &["--model <DIR>"]),
        row("a beam of 0", nothing, "translate -m model --beam 0", 2, &["'--beam <K>'", "expected a whole number from 1 to 1024"]),
        row("a beam of NaN", nothing, "translate -m model --beam nan", 2, &["'nan'", "expected a whole number from 1 to 1024"]),
        row("more candidates than the beam", nothing, "translate -m model --format jsonl --n-best 9 --beam 2", 2, &["--n-best 9 is more than a beam of 2 can give"]),
        row("more candidates than the model's own beam", nothing, "translate -m model --format jsonl --n-best 9", 2, &["--n-best 9 is more than the model's beam of 5", "add --beam 9"]),
        row("several candidates as text", nothing, "translate -m model --n-best 2", 2, &["--n-best has no place in text output"]),
        row("scores as text", nothing, "translate -m model --with score", 2, &["--with has no place in text output"]),
        row("an unknown field", nothing, "translate -m model --format jsonl --with scores", 2, &["'scores'"]),
        row("an unknown format", nothing, "translate -m model --format xml", 2, &["'xml'"]),
        row("a batch of 0", nothing, "translate -m model --batch 0", 2, &["expected a whole number from 1 to 65536"]),
        row("a penalty that is not finite", nothing, "translate -m model --coverage-penalty inf", 2, &["expected a number of at least 0"]),
        row("a penalty that is not a number", nothing, "translate -m model --length-penalty gnmt=nan", 2, &["expected none, average or gnmt=ALPHA"]),
        row("a negative penalty", nothing, "translate -m model --coverage-penalty=-1", 2, &["expected a number of at least 0"]),
        row("a longest output of NaN", nothing, "translate -m model --max-len nanx", 2, &["expected a length such as 2x+10, 1.5x or 80"]),
        row("a longest output of 0", nothing, "translate -m model --max-len 0", 2, &["expected a length such as"]),
        row("a shortest output above the longest", nothing, "translate -m model --min-len 9 --max-len 3", 2, &["--min-len 9 is more than --max-len 3"]),
        row("a gate of NaN", nothing, "evaluate -m model --tsv dev.tsv --fail-under wer=nan", 2, &["expected a number after wer="]),
        row("a gate of an unknown metric", nothing, "evaluate -m model --tsv dev.tsv --fail-under rouge=3", 2, &["rouge"]),
        row("a gate without a bound", nothing, "evaluate -m model --tsv dev.tsv --fail-under wer", 2, &["expected NAME=BOUND"]),
        row("an unknown metric", nothing, "evaluate -m model --tsv dev.tsv --metrics wer,rouge", 2, &["rouge"]),
        row("a source without its target", nothing, "evaluate -m model test.src", 2, &["<TGT>"]),
        row("a GPU where there is none", nothing, "translate -m model --device cuda", 1, &["no CUDA device", "--device cpu"]),
        row("a GPU where there is none, for training", nothing, "train -c config.toml --device cuda:1", 1, &["no CUDA device", "--device cpu"]),
        row("an unknown device", nothing, "translate -m model --device gpu", 2, &["expected auto, cpu, cuda or cuda:N"]),
        row("an unknown device in the configuration", nothing, "train -c config.toml --set run.device=gpu", 3, &["`run.device` is \"gpu\""]),
        row("a negative number of threads", nothing, "translate -m model --threads=-1", 2, &["'--threads <N>'"]),
        row("a million threads", nothing, "translate -m model --threads 1000000", 2, &["'--threads <N>'", "1024"]),
        row("a negative seed", nothing, "train -c config.toml --seed=-1", 2, &["'--seed <N>'"]),
        row("no steps", nothing, "train -c config.toml --max-steps 0", 2, &["'--max-steps <N>'"]),
        row("a run folder without a name", nothing, "train -c config.toml --run /", 2, &["--run /", "expected the name of a folder"]),
        row("quiet and verbose at once", nothing, "info model -q -v", 2, &["cannot be used with"]),
        row("an unknown shell", nothing, "completions tcsh", 2, &["'tcsh'", "bash"]),
    ]
}

fn figures() -> Vec<Row> {
    vec![
        row("a kind of figure that is not drawn", nothing, "plot attention -m model -t a -o map.jpg", 2, &["written as .svg or .png", "map.jpg"]),
        row("a figure in a folder that is not there", nothing, "plot attention -m model -t a -o out/map.svg", 1, &["cannot write the figure", "out/map.svg"]),
        row("a font that is not there", nothing, "plot attention -m model -t a -o map.png --font Noto.otf", 1, &["font Noto.otf: No such file"]),
        row("a font that is no font", nothing, "plot attention -m model -t a -o map.png --font words.txt", 1, &["font words.txt: not a TrueType or OpenType font"]),
        row("a text without tokens", nothing, "plot attention -m model -t= -o map.svg", 2, &["has no tokens"]),
    ]
}

/// Bytes as a gzip file.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
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
