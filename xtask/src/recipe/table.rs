//! The recipes: which data, which config, how it is scored, what was published.

use super::view::View;

/// One data set that a model is trained on and scored with.
pub struct Recipe {
    /// What follows `cargo xtask recipe`, and the folder in `runs/recipes`.
    pub name: &'static str,
    /// What goes in and what comes out.
    pub task: &'static str,
    /// File of `docs/configs`; it names its data as `data/…`.
    pub config: &'static str,
    /// Where the data comes from, for those who lack it.
    pub source: &'static Source,
    /// What is made in `data/`: file of the data set, name there, and what happens on the way.
    pub files: &'static [(&'static str, &'static str, View)],
    /// What follows `seqweave evaluate -m …`.
    pub score: &'static [&'static str],
    /// Inputs to show, beside the first of the test set.
    pub ask: &'static [&'static str],
    /// The number to compare with.
    pub published: &'static str,
}

/// A data set.
pub struct Source {
    /// Its folder in the folder of data sets.
    pub folder: &'static str,
    /// Where it was published.
    pub origin: &'static str,
}

static MULTI30K: Source = Source {
    folder: "multi30k",
    origin: "repository multi30k/dataset at a3d2e0d, data/task1: tok/{train,val,test_2016_flickr}.lc.norm.tok.{de,en}, \
             the training files gzipped, as tok/train.de.gz, tok/val.de, tok/test_2016_flickr.de and so on",
};
static TATOEBA_CMN: Source = Source {
    folder: "tatoeba-eng-cmn",
    origin: "the ManyThings file cmn.txt of 2018 (Tatoeba, CC BY 2.0), as train.tsv.gz, dev.tsv and test.tsv",
};
static TATOEBA_FRA: Source = Source {
    folder: "tatoeba-eng-fra",
    origin: "the ManyThings file fra.txt of 2017-09-29 (Tatoeba, CC BY 2.0), as train.tsv.gz, dev.tsv and test.tsv",
};
static CMUDICT: Source = Source {
    folder: "g2p-cmudict",
    origin: "CMUdict in the PRONALSYL 2007 split, without stress, as train.tsv.gz, dev.tsv and test.tsv",
};
static WIKIPRON: Source = Source {
    folder: "g2p-sigmorphon2021",
    origin: "repository sigmorphon/2021-task1 at 821bcde, data/high and data/medium, as fre_train.tsv, fre_dev.tsv and so on",
};
static UNIMORPH: Source = Source {
    folder: "inflection-sigmorphon2023",
    origin: "repository sigmorphon/2023InflectionST at e7f1b32, part1/data, as deu_train.tsv, deu_dev.tsv and so on",
};
static TYPOS: Source = Source {
    folder: "spelling-typos",
    origin: "the dictionary of the crate typos-dict 0.14.4, entries with one correction, as train.tsv.gz, dev.tsv and test.tsv",
};
static DJANGO: Source = Source {
    folder: "code-django",
    origin: "repository odashi/ase15-django-dataset at c37fa28, 16,000, 1,000 and 1,805 lines in their order, as \
             `description<TAB>code` in train.tsv.gz, dev.tsv and test.tsv",
};
static NL2BASH: Source = Source {
    folder: "nl2bash",
    origin: "repository TellinaTool/nl2bash at 466c5fe, data/bash, as train.tsv.gz, dev.tsv and test.tsv",
};
static SCAN: Source = Source {
    folder: "scan",
    origin: "repository brendenlake/SCAN at c4b756c, each split as `command<TAB>actions`, as simple_train.tsv.gz, \
             simple_test.tsv.gz and so on",
};

const PLAIN: &[(&str, &str, View)] = &[
    ("train.tsv.gz", "train.tsv.gz", View::Same),
    ("dev.tsv", "dev.tsv", View::Same),
    ("test.tsv", "test.tsv", View::Same),
];

/// Three files of one language, named alike.
macro_rules! language {
    ($code:literal, $view:expr) => {
        &[
            (concat!($code, "_train.tsv"), "train.tsv", $view),
            (concat!($code, "_dev.tsv"), "dev.tsv", $view),
            (concat!($code, "_test.tsv"), "test.tsv", $view),
        ]
    };
}

/// A split of SCAN, which has no development set: the first lines of the training file become one.
macro_rules! scan {
    ($split:literal) => {
        &[
            (concat!($split, "_train.tsv.gz"), "train.tsv", View::From(500)),
            (concat!($split, "_train.tsv.gz"), "dev.tsv", View::First(500)),
            (concat!($split, "_test.tsv.gz"), "test.tsv.gz", View::Same),
        ]
    };
}

macro_rules! multi30k {
    ($src:literal, $tgt:literal) => {
        &[
            (concat!("tok/train.", $src, ".gz"), "train.src.gz", View::Same),
            (concat!("tok/train.", $tgt, ".gz"), "train.tgt.gz", View::Same),
            (concat!("tok/val.", $src), "dev.src", View::Same),
            (concat!("tok/val.", $tgt), "dev.tgt", View::Same),
            (concat!("tok/test_2016_flickr.", $src), "test.src", View::Same),
            (concat!("tok/test_2016_flickr.", $tgt), "test.tgt", View::Same),
        ]
    };
}

const TSV: &str = "data/test.tsv";
const PRONUNCIATION: &[&str] = &["--tsv", TSV, "--metrics", "wer,per", "--examples", "10"];
const EXACT: &[&str] = &["--tsv", TSV, "--metrics", "acc,cer", "--examples", "10"];
const ACTIONS: &[&str] = &["--tsv", "data/test.tsv.gz", "--metrics", "acc,token_acc", "--examples", "3"];
const TOKENISED: &[&str] =
    &["data/test.src", "data/test.tgt", "--metrics", "bleu,chrf,ter", "--tok", "none", "--examples", "10"];

/// Every recipe.
#[rustfmt::skip]
pub static RECIPES: &[Recipe] = &[
    Recipe { name: "multi30k-de-en", task: "German captions to English, lower-cased and tokenised", config: "multi30k.toml", source: &MULTI30K, files: multi30k!("de", "en"), score: TOKENISED, ask: &["ein mann lernt deutsch .", "ich liebe tiefes lernen ."], published: "BLEU 33.5, attention as in Bahdanau et al. with 8,000 pieces" },
    Recipe { name: "multi30k-en-de", task: "English captions to German, lower-cased and tokenised", config: "multi30k.toml", source: &MULTI30K, files: multi30k!("en", "de"), score: TOKENISED, ask: &["a man learns german .", "i love deep learning ."], published: "none that was checked" },
    Recipe { name: "tatoeba-eng-cmn", task: "English sentences to Chinese", config: "tatoeba-eng-cmn.toml", source: &TATOEBA_CMN, files: PLAIN, score: &["--tsv", TSV, "--metrics", "bleu,chrf", "--tok", "zh", "--examples", "10"], ask: &["I love deep learning.", "I love you.", "Where is the station?"], published: "none for this division" },
    Recipe { name: "tatoeba-eng-fra", task: "English sentences to French", config: "tatoeba-eng-fra.toml", source: &TATOEBA_FRA, files: PLAIN, score: &["--tsv", TSV, "--metrics", "bleu,chrf", "--examples", "10"], ask: &["I love deep learning.", "I love you.", "Where is the station?"], published: "none for this division" },
    Recipe { name: "g2p-cmudict", task: "English spelling to phonemes", config: "g2p-cmudict.toml", source: &CMUDICT, files: PLAIN, score: PRONUNCIATION, ask: &["seqweave", "attention"], published: "WER 23.3 (LSTM 2×512), 20.6 (Transformer)" },
    Recipe { name: "g2p-eng", task: "English spelling to IPA", config: "g2p-sigmorphon.toml", source: &WIKIPRON, files: language!("eng_us", View::Same), score: PRONUNCIATION, ask: &[], published: "WER 41.9, the baseline of the task: an ensemble of neural transducers" },
    Recipe { name: "g2p-fre", task: "French spelling to IPA", config: "g2p-sigmorphon.toml", source: &WIKIPRON, files: language!("fre", View::Same), score: PRONUNCIATION, ask: &[], published: "WER 8.5, the same baseline" },
    Recipe { name: "g2p-hun", task: "Hungarian spelling to IPA", config: "g2p-sigmorphon.toml", source: &WIKIPRON, files: language!("hun", View::Same), score: PRONUNCIATION, ask: &[], published: "WER 1.8, the same baseline" },
    Recipe { name: "g2p-kor", task: "Korean letters (jamo) to IPA", config: "g2p-sigmorphon.toml", source: &WIKIPRON, files: language!("kor", View::Jamo), score: PRONUNCIATION, ask: &[], published: "WER 16.3, the same baseline" },
    Recipe { name: "inflection-deu", task: "German lemma and features to the inflected form", config: "inflection.toml", source: &UNIMORPH, files: language!("deu", View::Inflection), score: EXACT, ask: &[], published: "79.8 % exact, the non-neural baseline of the task" },
    Recipe { name: "inflection-spa", task: "Spanish lemma and features to the inflected form", config: "inflection.toml", source: &UNIMORPH, files: language!("spa", View::Inflection), score: EXACT, ask: &[], published: "87.8 % exact, the same baseline" },
    Recipe { name: "inflection-tur", task: "Turkish lemma and features to the inflected form", config: "inflection.toml", source: &UNIMORPH, files: language!("tur", View::Inflection), score: EXACT, ask: &[], published: "64.6 % exact, the same baseline" },
    Recipe { name: "inflection-fin", task: "Finnish lemma and features to the inflected form", config: "inflection.toml", source: &UNIMORPH, files: language!("fin", View::Inflection), score: EXACT, ask: &[], published: "80.8 % exact, the same baseline" },
    Recipe { name: "spelling", task: "misspelt English words to their correction", config: "spelling.toml", source: &TYPOS, files: PLAIN, score: EXACT, ask: &["recieve", "adress", "seperate"], published: "none" },
    Recipe { name: "django", task: "English descriptions to one line of Python", config: "django.toml", source: &DJANGO, files: PLAIN, score: &["--tsv", TSV, "--metrics", "acc,bleu", "--tok", "none", "--examples", "10"], ask: &["if x is none, return an empty list."], published: "45.1 % exact (attention model), as quoted in the literature" },
    Recipe { name: "nl2bash", task: "English descriptions to a Bash command", config: "nl2bash.toml", source: &NL2BASH, files: PLAIN, score: &["--tsv", TSV, "--metrics", "acc,bleu,cer", "--tok", "char", "--examples", "10"], ask: &["find all text files in the current directory"], published: "none for this division; 36 % judged right by hand, character BLEU 50.9 on another" },
    Recipe { name: "scan-simple", task: "commands to actions, divided at random", config: "scan-simple.toml", source: &SCAN, files: scan!("simple"), score: ACTIONS, ask: &["jump around left twice and walk"], published: "99.8 % exact" },
    Recipe { name: "scan-length", task: "commands to actions, longer ones in the test set", config: "scan-simple.toml", source: &SCAN, files: scan!("length"), score: ACTIONS, ask: &[], published: "20.8 % exact, as quoted in the literature" },
    Recipe { name: "scan-jump", task: "commands to actions, combinations of `jump` in the test set alone", config: "scan-simple.toml", source: &SCAN, files: scan!("addprim_jump"), score: ACTIONS, ask: &[], published: "1.2 % exact, as quoted in the literature" },
    Recipe { name: "scan-turn-left", task: "commands to actions, combinations of `turn left` in the test set alone", config: "scan-simple.toml", source: &SCAN, files: scan!("addprim_turn_left"), score: ACTIONS, ask: &[], published: "90.3 % exact, as quoted in the literature" },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_has_a_config_that_names_its_files() {
        for recipe in RECIPES {
            let path = crate::workspace::root().join("docs/configs").join(recipe.config);
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let config: toml::Table = text.parse().unwrap();
            let mut named = Vec::new();
            for part in ["train", "dev"] {
                match &config["data"][part] {
                    toml::Value::String(path) => named.push(path.clone()),
                    toml::Value::Table(sides) => {
                        named.extend(sides.values().filter_map(|v| v.as_str()).map(str::to_string))
                    }
                    other => panic!("{}: {other}", recipe.config),
                }
            }
            named.extend(
                recipe.score.iter().filter(|arg| arg.starts_with("data/")).map(|arg| arg.to_string()),
            );
            let mut made: Vec<String> = recipe.files.iter().map(|file| format!("data/{}", file.1)).collect();
            named.sort();
            made.sort();
            assert_eq!(named, made, "{}", recipe.name);
        }
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<&str> = RECIPES.iter().map(|recipe| recipe.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RECIPES.len());
    }
}
