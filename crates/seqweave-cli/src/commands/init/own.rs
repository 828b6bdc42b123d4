//! The configuration that `init --data` writes: what [`suggest`](seqweave_train::suggest) says of the pairs, with its reasons.

use std::path::Path;

use seqweave_data::{Level, SourceSpec, pairs};
use seqweave_train::suggest::{SideSuggestion, Suggestion, Survey};

use crate::exit::Failure;
use crate::resolve::toml_string;

/// Reads `pairs` and writes a configuration named `name` for them.
///
/// # Errors
/// Files that are not such a corpus.
pub fn config(name: &str, source: &SourceSpec) -> Result<String, Failure> {
    let mut survey = Survey::default();
    for pair in pairs(source)? {
        let pair = pair?;
        survey.see(&pair.src, &pair.tgt);
    }
    Ok(written(name, &train_key(source), survey.pairs(), &survey.suggest()))
}

/// The pairs as `data.train` names them.
fn train_key(source: &SourceSpec) -> String {
    // The paths were made UTF-8 when the command line was resolved.
    let quoted = |path: &Path| toml_string(&path.to_string_lossy());
    match source {
        SourceSpec::Parallel { src, tgt } => format!("{{ src = {}, tgt = {} }}", quoted(src), quoted(tgt)),
        SourceSpec::Tsv { path } | SourceSpec::Jsonl { path, .. } => quoted(path),
    }
}

fn written(name: &str, train: &str, seen: usize, suggestion: &Suggestion) -> String {
    let Suggestion { src, tgt, emb, hidden, dropout, batch_tokens, epochs, metrics } = suggestion;
    let side = |key: &str, side: &SideSuggestion| {
        let SideSuggestion { level, max_vocab, reason } = side;
        let fallback = match level.is_subword() {
            true => "byte_fallback = true             # a character that was never seen is spelt in bytes\n",
            false => "",
        };
        format!(
            "[data.{key}]\n# {reason}.\nlevel = \"{}\"\nmax_vocab = {max_vocab}\n{fallback}",
            level_name(*level)
        )
    };
    let names: Vec<String> = metrics.iter().map(|metric| format!("\"{metric}\"")).collect();
    format!(
        "\
# Made by a look at {seen} pairs: a place to begin, not to end.
# `seqweave config explain KEY` says more about a key, `seqweave config show -c config.toml` lists all of them.

name = {name:?}
seed = 1                         # the same seed gives the same weights, bit for bit

[data]
train = {train}

[data.split]                     # taken out of the pairs above; no source stands in two parts
dev  = 0.03                      # measured while training
test = 0.03                      # measured by nobody but `seqweave evaluate`

{src}
{tgt}
[model]
cell      = \"lstm\"
emb       = {emb:<20} # size of the embeddings
hidden    = {hidden:<20} # size of encoder output and decoder state; a larger model learns more and takes longer
attention = \"general\"
dropout   = {dropout:<20?} # more where the data is little

[model.encoder]
layers        = 1
bidirectional = true

[model.decoder]
layers = 1

[train]
epochs = {epochs:<23} # passes over the data
clip   = 1.0

[train.batch]
tokens = {batch_tokens:<23} # at most so many tokens a batch, padding included

[train.optimizer]
kind = \"adam\"
lr   = 0.001

[train.schedule]
kind   = \"cosine\"
warmup = 200                     # steps over which the rate rises

[valid]
metrics  = [{metrics}, \"ppl\"]
best_by  = {best:<21} # decides which checkpoint is the best
patience = 8                     # validations without a better one, after which training stops
samples  = 3                     # outputs shown each time

[decode]
beam = 5                         # kept in the model folder, so that translate needs no flags
",
        src = side("src", src),
        tgt = side("tgt", tgt),
        metrics = names.join(", "),
        best = names[0],
    )
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Word => "word",
        Level::Char => "char",
        Level::Bpe => "bpe",
        Level::Unigram => "unigram",
        Level::Pieces => "pieces",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqweave_train::config::Config;

    #[test]
    fn the_configuration_is_good_and_says_nothing_in_vain() {
        let dir = tempfile::tempdir().unwrap();
        let lines = |line: fn(usize) -> String| (0..400).map(line).collect::<String>();
        let corpora = [
            ("words.tsv", lines(|i| format!("w{i}\tW ER {}\n", i % 9))),
            ("sentences.tsv", lines(|i| format!("it is number {i} .\tc' est le numéro {i} .\n"))),
            ("commands.tsv", lines(|i| format!("go {} times\tA B C\n", i % 7))),
            ("spelling.tsv", lines(|i| format!("wrod{i}\tword{i}\n"))),
            ("objects.jsonl", lines(|i| format!("{{\"src\": \"w{i} a\", \"tgt\": \"v{i} b\"}}\n"))),
        ];
        for (name, text) in corpora {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            let text = config("mine", &SourceSpec::file(path)).unwrap();
            let loaded = Config::from_toml("config.toml", &text, dir.path()).unwrap();
            assert_eq!(loaded.unused, [], "{name}:\n{text}");
            assert_eq!(loaded.value.name, "mine");
        }
    }

    #[test]
    fn two_files_are_two_sides() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["a.src", "a.tgt"].map(|name| dir.path().join(name));
        files.iter().for_each(|file| std::fs::write(file, "a b\nc d\n").unwrap());
        let [src, tgt] = files;
        let pairs = SourceSpec::Parallel { src, tgt };
        let text = config("mine", &pairs).unwrap();
        let loaded = Config::from_toml("config.toml", &text, dir.path()).unwrap();
        assert_eq!(loaded.value.data.train, Some(pairs.into()));
    }

    #[test]
    fn an_empty_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty.tsv");
        std::fs::write(&path, "").unwrap();
        let failure = config("mine", &SourceSpec::file(path)).unwrap_err();
        assert_eq!(failure.exit, crate::exit::Exit::Data);
    }
}
