//! Lines and sentence pairs that cannot be used.

use super::{Row, allow, gzip, nothing, row};
use crate::dir::Dir;

pub fn text() -> Vec<Row> {
    let utf16 = |d: &Dir| {
        d.create("words.txt", "\u{feff}a b".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>())
    };
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
            "a file that may not be read",
            |d| allow(d, "words.txt", 0),
            "translate -m model -i words.txt",
            4,
            &["cannot open the input: Permission denied", "words.txt"],
        )
        .without_privileges(),
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
            &["--input and --output are the same file", "words.txt"],
        ),
        row(
            "alignments over the input",
            nothing,
            "translate -m model -i words.txt --alignments ./words.txt",
            2,
            &["--input and --alignments are the same file", "words.txt"],
        ),
        row(
            "alignments over the output",
            nothing,
            "translate -m model -i words.txt -o new.txt --alignments new.txt",
            2,
            &["--output and --alignments are the same file", "new.txt"],
        ),
        row(
            "alignments among the translations",
            nothing,
            "translate -m model -i words.txt --alignments -",
            2,
            &["--alignments needs a file"],
        ),
        row(
            "an output in a folder that is not there",
            nothing,
            "translate -m model -i words.txt -o out/words.txt",
            1,
            &["cannot create the output", "out/words.txt"],
        ),
        row(
            "an output that may not be written",
            |d| {
                d.create("out.txt", "precious\n");
                allow(d, "out.txt", 0o444);
            },
            "translate -m model -i words.txt -o out.txt",
            1,
            &["cannot create the output: Permission denied", "out.txt"],
        )
        .without_privileges(),
        row(
            "an output on a full disk",
            nothing,
            "translate -m model -i words.txt -o /dev/full",
            1,
            &["/dev/full", "No space left on device"],
        ),
    ]
}

pub fn pairs() -> Vec<Row> {
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
            "a third column that holds no tags",
            |d| d.create("scored.tsv", "a b\tb a\t0.5\nc d\td c\t0.25\n"),
            "init mine --data scored.tsv",
            4,
            &["scored.tsv:1", "or 3 of which the second or third holds tags, found 3", "cut -f 1,2"],
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
            "a file that may not be read",
            |d| allow(d, "dev.tsv", 0),
            "evaluate -m model --tsv dev.tsv",
            4,
            &["dev.tsv: cannot open: Permission denied"],
        )
        .without_privileges(),
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
            &["gate acc >= 90: NOT MET"],
        ),
    ]
}

pub fn training_data() -> Vec<Row> {
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
        row(
            "two columns where there should be tags",
            nothing,
            "train -c config.toml --set data.features=;",
            4,
            &["dev.tsv:1: expected 3 columns (source<TAB>tags<TAB>target), found 2"],
        ),
        row(
            "a source file without tags where there should be some",
            |d| {
                d.create("train.src", "a\tN\nb\nc\tN\n");
                d.create("train.tgt", "a\nb\nc\n");
            },
            "train -c no-dev.toml --set data.train={src='train.src',tgt='train.tgt'} --set data.features=;",
            4,
            &["train.src:2: expected 2 columns (source<TAB>tags), found 1", "still needs its tab"],
        ),
        row(
            "JSON without tags where there should be some",
            |d| {
                d.create(
                    "train.jsonl",
                    "{\"src\": \"a\\tN\", \"tgt\": \"b\"}\n{\"src\": \"a\", \"tgt\": \"b\"}\n",
                )
            },
            "train -c no-dev.toml --set data.train=train.jsonl --set data.features=;",
            4,
            &["train.jsonl:2: the field \"src\" has no tab, expected source<TAB>tags"],
        ),
        row(
            "tags that the target would share",
            nothing,
            "train -c config.toml --set data.features=; --set data.shared_vocab=true",
            3,
            &["`data.shared_vocab` is true, expected false, as tags are on one side alone"],
        ),
        row(
            "more characters than pieces",
            nothing,
            "train -c config.toml --set data.src.level=bpe --set data.src.max_vocab=6",
            3,
            &["data.src.max_vocab is 6, and", "is the least that will do: the text has", "byte_fallback"],
        ),
        row(
            "pieces of both sides that are put into other forms",
            nothing,
            "train -c config.toml --set data.shared_vocab=true --set data.src.level=bpe --set data.tgt.level=bpe \
             --set data.src.form=nfkc",
            3,
            &[
                "`data.tgt.form` is none beside nfkc in src, expected the value of src, as shared_vocab is true",
            ],
        ),
        row(
            "a tokenizer file that is not there",
            nothing,
            "train -c config.toml --set data.src.tokenizer=joint.json",
            4,
            &["joint.json: no such file"],
        ),
        row(
            "a tokenizer file of another program",
            |d| d.create("codes.bpe", "#version: 0.2\na b\n"),
            "train -c config.toml --set data.tgt.tokenizer=codes.bpe",
            4,
            &["codes.bpe: no tokenizer of pieces: subword-nmt codes", "seqweave tokenizer import"],
        ),
        row(
            "dropout of merges without merges",
            nothing,
            "train -c config.toml --set data.src.dropout=0.1",
            3,
            &["`data.src.dropout` is 0.1, expected 0, unless level is \"bpe\""],
        ),
        row(
            "no such file",
            nothing,
            "train -c config.toml --set data.train=trian.tsv",
            4,
            &["trian.tsv: no such file"],
        ),
        row(
            "an empty file",
            |d| d.create("train.tsv", ""),
            "train -c config.toml",
            4,
            &["train.tsv: the file is empty"],
        ),
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
            "a zstd file that is none",
            |d| d.create("train.tsv.zst", "a b\tb a\n"),
            "train -c config.toml --set data.train=train.tsv.zst",
            4,
            &["train.tsv.zst", "does not begin with the zstd magic"],
        ),
        row(
            "a line of JSON without a text",
            |d| d.create("train.jsonl", "{\"src\": \"a\", \"tgt\": \"b\"}\n{\"src\": \"a\"}\n"),
            "train -c config.toml --set data.train=train.jsonl",
            4,
            &["train.jsonl:2: the field \"tgt\" is missing", "tgt_field"],
        ),
        row(
            "a corpus with a weight of nothing",
            |d| d.create("weights.toml", "data.train = [{ path = \"train.tsv\", weight = 0.0 }]"),
            "train -c weights.toml",
            3,
            &["weight", "from 0.001 to 1000"],
        ),
        row(
            "a script that there is not",
            nothing,
            "train -c config.toml --set data.filter.src_scripts=['Elvish']",
            3,
            &["data.filter.src_scripts", "Elvish"],
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

pub fn shards() -> Vec<Row> {
    vec![
        row(
            "a folder that is none of shards",
            |d| d.create_folder("shards"),
            "train -c config.toml --set data.train={shards='shards'}",
            4,
            &["shards: damaged shards: there is no MANIFEST in it"],
        ),
        row(
            "no such folder",
            nothing,
            "train -c config.toml --set data.train={shards='shards'}",
            4,
            &["shards: no such file"],
        ),
        row(
            "a flipped bit",
            |d| {
                prepare(d);
                d.edit("shards/shard-00000.bin", |bytes| bytes[99] ^= 1);
            },
            "train -c config.toml --set data.train={shards='shards'}",
            4,
            &["shard-00000.bin: damaged shards: expected the BLAKE3 hash"],
        ),
        row(
            "a file of it is missing",
            |d| {
                prepare(d);
                std::fs::remove_file(d.join("shards/source.vocab.json")).unwrap();
            },
            "doctor -c config.toml --set data.train={shards='shards'}",
            4,
            &["source.vocab.json: damaged shards: the file is missing"],
        ),
        row(
            "other settings than those it was made with",
            prepare,
            "train -c config.toml --set data.train={shards='shards'} --set data.src.lowercase=true",
            3,
            &["made with data.src.lowercase = false", "data.src.lowercase = true"],
        ),
        row(
            "a tokenizer file with other pieces than the shards",
            |d| {
                d.create("text.txt", "abc bcd cde\nabcde edcba\n".repeat(9));
                let learn = "tokenizer train --input text.txt -o joint.json --vocab-size";
                d.seqweave(&format!("{learn} 20")).run().good();
                d.seqweave("prepare -q -c config.toml -o shards --set data.src.tokenizer=joint.json")
                    .run()
                    .good();
                std::fs::remove_file(d.join("joint.json")).unwrap();
                d.seqweave(&format!("{learn} 15")).run().good();
            },
            "train -c config.toml --set data.train={shards='shards'} --set data.src.tokenizer=joint.json",
            3,
            &[
                "shards: the shards were made with other pieces for data.src",
                "data.src.tokenizer = \"joint.json\"",
            ],
        ),
        row(
            "shards for the further training of a model, and no model",
            |d| {
                d.seqweave("prepare -q -c config.toml -o shards --set train.init_from=model").run().good();
            },
            "train -c config.toml --set data.train={shards='shards'}",
            3,
            &[
                "shards: the shards were made with the tokens of a model (train.init_from)",
                "nothing of a model",
            ],
        ),
        row(
            "shards with other tokens than the model to start from",
            |d| {
                d.create("more.tsv", "new words\twords new\na b\tb a\n");
                d.seqweave("prepare -q -c config.toml -o shards --set data.train=more.tsv").run().good();
            },
            "train -c config.toml --set data.train={shards='shards'} --init-from model --run new",
            3,
            &[
                "shards: the shards were made with other tokens than the model has",
                "the same train.init_from",
            ],
        ),
        row(
            "the folder to be made is there",
            |d| d.create_folder("shards"),
            "prepare -c config.toml -o shards",
            1,
            &["shards: is there already"],
        ),
        row(
            "a folder to be made in one that is not there",
            nothing,
            "prepare -c config.toml -o nowhere/shards",
            4,
            &["nowhere: no such", "check the path"],
        ),
    ]
}

/// Makes the folder `shards`.
fn prepare(d: &Dir) {
    d.seqweave("prepare -q -c config.toml -o shards").run().good();
}
