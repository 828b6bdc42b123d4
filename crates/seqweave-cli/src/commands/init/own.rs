//! The configuration that `init --data` writes: what [`suggest`](seqweave_train::suggest) says of the pairs, with its reasons.

use std::path::Path;

use seqweave_data::{Error, Level, Pair, SourceSpec, pairs};
use seqweave_train::suggest::{SideSuggestion, Suggestion, Survey, TagLook};

use crate::exit::{Exit, Failure};
use crate::resolve::toml_string;

/// What becomes of the user's pairs.
pub struct Own {
    /// The configuration.
    pub config: String,
    /// The pairs once more, where their tags come last and must come in between: the text of [`PAIRS`].
    pub pairs: Option<String>,
}

/// The file with the columns in the order in which `data.features` reads them.
pub const PAIRS: &str = "pairs.tsv";

/// Reads `pairs` and makes a configuration named `name` for them.
///
/// # Errors
/// Files that are not such a corpus.
pub fn own(name: &str, source: &SourceSpec) -> Result<Own, Failure> {
    let is_pipe = |path: &&Path| path.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir());
    if let Some(pipe) = source.paths().into_iter().find(is_pipe) {
        return Err(Failure::new(Exit::Data, "a pipe is read once, and training reads the pairs again")
            .at(pipe.display())
            .help("write the pairs to a file first"));
    }
    let mut survey = Survey::default();
    for pair in pairs(source)? {
        match pair {
            Ok(pair) => survey.see(&pair.src, &pair.tgt),
            // The first line says how many columns there are.
            Err(Error::Columns { line: 1, found: 3, .. }) => return tagged(name, source),
            Err(error) => return Err(error.into()),
        }
    }
    let config = written(name, &train_key(source), survey.pairs(), &survey.suggest(), None);
    Ok(Own { config, pairs: None })
}

/// A file of three columns, of which the second or, as SIGMORPHON has it since 2017, the third holds tags.
fn tagged(name: &str, source: &SourceSpec) -> Result<Own, Failure> {
    let rows = pairs(source)?.with_tags(true).collect::<Result<Vec<_>, _>>()?;
    let cells = |row: &'_ Pair| {
        let (src, second) = row.src.split_once('\t').unwrap_or((&row.src, ""));
        [src.to_owned(), second.to_owned(), row.tgt.clone()]
    };
    let mut rows: Vec<[String; 3]> = rows.iter().map(cells).collect();
    let look = |column: usize| TagLook::of(rows.iter().map(|row| row[column].as_str()));
    let (tags, is_last) = match (look(1), look(2)) {
        (Some(second), Some(third)) if third.times > second.times => (third, true),
        (Some(second), _) => (second, false),
        (None, Some(third)) => (third, true),
        (None, None) => {
            return Err(Failure::new(
                Exit::Data,
                "expected 2 columns (source<TAB>target), or 3 of which the second or third holds tags, found 3",
            )
            .at(format!("{}:1", train_path(source)))
            .help("take out the column that is neither source nor target: `cut -f 1,2`"));
        }
    };
    if is_last {
        rows.iter_mut().for_each(|row| row.swap(1, 2));
    }
    let mut survey = Survey::default();
    rows.iter().for_each(|[src, _, tgt]| survey.see(src, tgt));
    let train = if is_last { toml_string(PAIRS) } else { train_key(source) };
    let config = written(name, &train, rows.len(), &survey.suggest(), Some(&tags));
    let pairs = is_last.then(|| rows.iter().map(|row| row.join("\t") + "\n").collect());
    Ok(Own { config, pairs })
}

fn train_path(source: &SourceSpec) -> String {
    source.paths().iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
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

fn written(name: &str, train: &str, seen: usize, suggestion: &Suggestion, tags: Option<&TagLook>) -> String {
    let features = tags.map_or_else(String::new, |TagLook { separators, distinct, times }| {
        let key = format!("features = {}", toml_string(separators));
        format!("{key:<32} # what stands between tags: {distinct} of them, each seen {times} times\n")
    });
    let Suggestion { src, tgt, emb, hidden, dropout, batch_tokens, epochs, warmup, metrics } = suggestion;
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
    // Three per cent of a few hundred pairs are too few to measure by, and a share of a dozen may be none.
    let share = if seen < 1_000 { (seen / 10).max(1).to_string() } else { "0.03".to_owned() };
    let names: Vec<String> = metrics.iter().map(|metric| format!("\"{metric}\"")).collect();
    format!(
        "\
# Made by a look at {seen} pairs: a place to begin, not to end.
# `seqweave config explain KEY` says more about a key, `seqweave config show -c config.toml` lists all of them.

name = {name:?}
seed = 1                         # the same seed gives the same weights, bit for bit

[data]
train = {train}
{features}
[data.split]                     # taken out of the pairs above, as a number of pairs or a share; no source is in two parts
dev  = {share:<25} # measured while training
test = {share:<25} # measured by nobody but `seqweave evaluate`

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
warmup = {warmup:<23} # steps over which the rate rises

[valid]
metrics  = [{metrics}, \"ppl\"]
best_by  = {best:<21} # decides which checkpoint is the best
patience = 8                     # validations without a better one, after which training stops
samples  = 3                     # outputs shown each time
# Outputs are greedy here (`beam = 1`), which is quick; `evaluate` and `report` search as [decode] says and score higher.

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
    use seqweave_data::Amount;
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
            ("tags.tsv", lines(|i| format!("w{i}\tN;{}\tw{i}s\n", ["SG", "PL"][i % 2]))),
            ("tags-last.tsv", lines(|i| format!("w{i}\tw{i}s\tN,{}\n", ["SG", "PL"][i % 2]))),
            ("objects.jsonl", lines(|i| format!("{{\"src\": \"w{i} a\", \"tgt\": \"v{i} b\"}}\n"))),
        ];
        for (name, text) in corpora {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            let text = own("mine", &SourceSpec::file(path)).unwrap().config;
            let loaded = Config::from_toml("config.toml", &text, dir.path()).unwrap();
            assert_eq!(loaded.unused, [], "{name}:\n{text}");
            assert_eq!(loaded.value.name, "mine");
            assert_eq!(loaded.value.data.split.dev, Amount::Pairs(40), "400 pairs are few");
            let features = loaded.value.data.features.as_deref();
            assert_eq!(
                features,
                [("tags.tsv", ";"), ("tags-last.tsv", ",")].iter().find(|row| row.0 == name).map(|row| row.1)
            );
        }
    }

    #[test]
    fn two_files_are_two_sides() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["a.src", "a.tgt"].map(|name| dir.path().join(name));
        files.iter().for_each(|file| std::fs::write(file, "a b\nc d\n").unwrap());
        let [src, tgt] = files;
        let pairs = SourceSpec::Parallel { src, tgt };
        let text = own("mine", &pairs).unwrap().config;
        let loaded = Config::from_toml("config.toml", &text, dir.path()).unwrap();
        assert_eq!(loaded.value.data.train, Some(pairs.into()));
    }

    #[test]
    fn an_empty_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty.tsv");
        std::fs::write(&path, "").unwrap();
        let failure = own("mine", &SourceSpec::file(path)).err().unwrap();
        assert_eq!(failure.exit, crate::exit::Exit::Data);
    }
}
