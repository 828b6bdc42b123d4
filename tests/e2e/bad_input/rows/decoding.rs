//! Samples, phrases and ensembles that cannot be.

use super::{Row, nothing, row};
use crate::dir::Dir;

pub fn rows() -> Vec<Row> {
    vec![
        row(
            "a temperature of 0",
            nothing,
            "translate -m model --sample --temperature 0",
            2,
            &["'--temperature <T>'", "expected a number from 0.01 to 100"],
        ),
        row(
            "a nucleus of nothing",
            nothing,
            "translate -m model --sample --top-p 0",
            2,
            &["'--top-p <P>'", "expected a number from 0.001 to 1"],
        ),
        row("a nucleus without sampling", nothing, "translate -m model --top-p 0.9", 2, &["--sample"]),
        row(
            "samples and a beam",
            nothing,
            "translate -m model --sample --beam 4",
            2,
            &["'--sample' cannot be used with '--beam <K>'"],
        ),
        row(
            "a penalty that favours repetition",
            nothing,
            "translate -m model --repetition-penalty 0.5",
            2,
            &["'--repetition-penalty <THETA>'", "expected a number from 1 to 100"],
        ),
        row(
            "an empty forbidden phrase",
            |d| d.create("never.txt", "a b\n\n"),
            "translate -m model -i words.txt --forbid never.txt",
            4,
            &["forbidden phrase 2 is empty", "never.txt:2", "remove it"],
        ),
        row(
            "a forbidden phrase that could not be said anyway",
            |d| d.create("never.txt", "a b\na wombat\n"),
            "translate -m model -i words.txt --forbid never.txt",
            4,
            &["\"a wombat\", and the model does not know \"wombat\"", "never.txt:2"],
        ),
        row(
            "no such file of forbidden phrases",
            nothing,
            "translate -m model -i words.txt --forbid nevr.txt",
            4,
            &["cannot open the file", "nevr.txt"],
        ),
        row(
            "a required phrase that the model cannot say",
            |d| d.create("terms.txt", "a b\nc\ta wombat\n"),
            "translate -m model -i words.txt --require-file terms.txt",
            4,
            &["required phrase 2 of sentence 2 is \"a wombat\"", "terms.txt:2"],
        ),
        row(
            "an empty required phrase",
            |d| d.create("terms.txt", "a b\t\tc\n\n"),
            "translate -m model -i words.txt --require-file terms.txt",
            4,
            &["required phrase 2 of sentence 1 is empty", "terms.txt:1"],
        ),
        row(
            "a required phrase longer than the longest output",
            |d| d.create("terms.txt", "\na b c\n"),
            "translate -m model -i words.txt --require-file terms.txt --max-len 2",
            4,
            &["sentence 2 come to 3 tokens, and its outputs may have 2", "terms.txt:2", "raise the maximum"],
        ),
        row(
            "a required phrase that is forbidden",
            |d| {
                d.create("terms.txt", "a b c\n\n");
                d.create("never.txt", "b c\n");
            },
            "translate -m model -i words.txt --require-file terms.txt --forbid never.txt",
            4,
            &["\"a b c\", contains \"b c\", which is never said", "terms.txt:1"],
        ),
        row(
            "a prefix that the model cannot say",
            |d| d.create("begin.txt", "a\nwombat\n"),
            "translate -m model -i words.txt --prefix-file begin.txt",
            4,
            &["the prefix of sentence 2 is \"wombat\"", "begin.txt:2"],
        ),
        row(
            "fewer prefixes than lines",
            |d| d.create("begin.txt", "a\n"),
            "translate -m model -i words.txt --prefix-file begin.txt",
            4,
            &["the file has 1 line, and the input has more", "begin.txt"],
        ),
        row(
            "more prefixes than lines",
            |d| d.create("begin.txt", "a\nb\nc\n"),
            "translate -m model -i words.txt --prefix-file begin.txt",
            4,
            &["the input has 2 lines, and the file has more", "begin.txt"],
        ),
        row(
            "a dictionary without a tab",
            |d| d.create("words.tsv", "a\tA\nb B\n"),
            "translate -m model -i words.txt --replace-unk --dictionary words.tsv",
            4,
            &["words.tsv:2"],
        ),
        row(
            "alignments of a model without attention",
            without_attention,
            "translate -m other -i words.txt --alignments links.txt",
            2,
            &["--alignments needs a model with attention"],
        ),
        row(
            "an ensemble of models with other tokens",
            with_fewer_tokens,
            "translate -m model -m other -i words.txt",
            4,
            &["the target side is not that of the first model: the number of tokens is", "other"],
        ),
    ]
}

fn without_attention(d: &Dir) {
    train(d, "model.attention=none");
}

fn with_fewer_tokens(d: &Dir) {
    train(d, "data.tgt.max_vocab=8");
}

/// Trains the model `other` for one step.
fn train(d: &Dir, setting: &str) {
    let train = format!("train -q -c config.toml --max-steps 1 --run other --set {setting}");
    d.seqweave(&train).run().good();
}
