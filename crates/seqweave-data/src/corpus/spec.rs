//! Which files hold the pairs, as a configuration names them.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where sentence pairs come from.
///
/// In a configuration it is the path of a file, `"train.tsv"` or `"train.jsonl"`,
/// `{ path = "train.jsonl", src_field = "de", tgt_field = "en" }`, or `{ src = "train.de", tgt = "train.en" }`.
/// Every file may be plain, gzip or zstd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Written", into = "Written")]
pub enum SourceSpec {
    /// One file of lines `source<TAB>target`.
    Tsv {
        /// The file.
        path: PathBuf,
    },
    /// One file of a JSON object a line.
    Jsonl {
        /// The file.
        path: PathBuf,
        /// The field of the source text.
        src_field: String,
        /// The field of the target text.
        tgt_field: String,
    },
    /// Two files whose lines correspond.
    Parallel {
        /// The source side.
        src: PathBuf,
        /// The target side.
        tgt: PathBuf,
    },
}

impl SourceSpec {
    /// One file: JSON Lines where its name says so (`.jsonl`, also `.jsonl.gz` and `.jsonl.zst`), else TSV.
    pub fn file(path: PathBuf) -> Self {
        if is_jsonl(&path) {
            Self::Jsonl { path, src_field: "src".to_owned(), tgt_field: "tgt".to_owned() }
        } else {
            Self::Tsv { path }
        }
    }

    /// The files.
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Self::Tsv { path } | Self::Jsonl { path, .. } => vec![path],
            Self::Parallel { src, tgt } => vec![src, tgt],
        }
    }
}

/// Training pairs: one corpus, several with weights, or shards that `seqweave prepare` has made of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "WrittenTrain", into = "WrittenTrain")]
pub enum TrainSpec {
    /// Text.
    Text(Vec<WeightedSource>),
    /// A folder of shards.
    Shards(PathBuf),
}

/// One of several corpora.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedSource {
    /// Its files.
    pub source: SourceSpec,
    /// How often an epoch shows each of its pairs: 1 once, 2.5 twice and in every second epoch once more.
    pub weight: f64,
}

/// The weights that a corpus may have.
pub(crate) const WEIGHTS: std::ops::RangeInclusive<f64> = 0.001..=1000.0;

impl From<SourceSpec> for TrainSpec {
    fn from(source: SourceSpec) -> Self {
        Self::Text(vec![WeightedSource { source, weight: 1.0 }])
    }
}

impl TrainSpec {
    /// The corpora; none for shards, whose corpora are theirs.
    pub fn sources(&self) -> &[WeightedSource] {
        match self {
            Self::Text(sources) => sources,
            Self::Shards(_) => &[],
        }
    }
}

fn is_jsonl(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
    name.ends_with(".jsonl") || name.ends_with(".ndjson")
}

/// A [`SourceSpec`] as a configuration writes it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected the path of a TSV or JSON Lines file, or { src = \"file\", tgt = \"file\" }"
)]
enum Written {
    /// One file.
    File(#[schemars(extend("format" = "path"))] PathBuf),
    /// One file of JSON objects, and the fields of its texts.
    Fields {
        /// The file.
        #[schemars(extend("format" = "path"))]
        path: PathBuf,
        /// The field of the source text.
        #[serde(default = "src_field")]
        src_field: String,
        /// The field of the target text.
        #[serde(default = "tgt_field")]
        tgt_field: String,
    },
    /// Two files whose lines correspond.
    Parallel {
        /// The source side.
        #[schemars(extend("format" = "path"))]
        src: PathBuf,
        /// The target side.
        #[schemars(extend("format" = "path"))]
        tgt: PathBuf,
    },
}

fn src_field() -> String {
    "src".to_owned()
}

fn tgt_field() -> String {
    "tgt".to_owned()
}

impl From<Written> for SourceSpec {
    fn from(written: Written) -> Self {
        match written {
            Written::File(path) => Self::file(path),
            Written::Fields { path, src_field, tgt_field } => Self::Jsonl { path, src_field, tgt_field },
            Written::Parallel { src, tgt } => Self::Parallel { src, tgt },
        }
    }
}

impl From<SourceSpec> for Written {
    fn from(spec: SourceSpec) -> Self {
        match spec {
            SourceSpec::Jsonl { path, src_field, tgt_field }
                if !is_jsonl(&path) || (&*src_field, &*tgt_field) != ("src", "tgt") =>
            {
                Self::Fields { path, src_field, tgt_field }
            }
            SourceSpec::Tsv { path } | SourceSpec::Jsonl { path, .. } => Self::File(path),
            SourceSpec::Parallel { src, tgt } => Self::Parallel { src, tgt },
        }
    }
}

/// A [`TrainSpec`] as a configuration writes it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected the path of a TSV or JSON Lines file, \
    { src = \"file\", tgt = \"file\" }, a list of such with weights, or { shards = \"folder\" }"
)]
enum WrittenTrain {
    /// One corpus.
    One(Written),
    /// Shards.
    Shards {
        /// The folder.
        #[schemars(extend("format" = "path"))]
        shards: PathBuf,
    },
    /// Several.
    List(Vec<WrittenPart>),
}

/// One of several corpora.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected { path = \"file\", weight = 2.0 } or { src = \"file\", tgt = \"file\", weight = 2.0 }"
)]
enum WrittenPart {
    /// One file.
    File(#[schemars(extend("format" = "path"))] PathBuf),
    /// One file, with a weight.
    Weighted {
        /// The file.
        #[schemars(extend("format" = "path"))]
        path: PathBuf,
        /// The field of the source text, in JSON Lines.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        src_field: Option<String>,
        /// The field of the target text, in JSON Lines.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tgt_field: Option<String>,
        /// How often an epoch shows each of its pairs.
        #[schemars(range(min = 0.001, max = 1000.0))]
        #[serde(default = "once")]
        weight: f64,
    },
    /// Two files whose lines correspond, with a weight.
    Parallel {
        /// The source side.
        #[schemars(extend("format" = "path"))]
        src: PathBuf,
        /// The target side.
        #[schemars(extend("format" = "path"))]
        tgt: PathBuf,
        /// How often an epoch shows each of its pairs.
        #[schemars(range(min = 0.001, max = 1000.0))]
        #[serde(default = "once")]
        weight: f64,
    },
}

fn once() -> f64 {
    1.0
}

impl From<WrittenTrain> for TrainSpec {
    fn from(written: WrittenTrain) -> Self {
        match written {
            WrittenTrain::Shards { shards } => Self::Shards(shards),
            WrittenTrain::One(one) => SourceSpec::from(one).into(),
            WrittenTrain::List(parts) => Self::Text(parts.into_iter().map(WeightedSource::from).collect()),
        }
    }
}

impl From<WrittenPart> for WeightedSource {
    fn from(part: WrittenPart) -> Self {
        match part {
            WrittenPart::File(path) => Self { source: SourceSpec::file(path), weight: 1.0 },
            WrittenPart::Weighted { path, src_field: None, tgt_field: None, weight } => {
                Self { source: SourceSpec::file(path), weight }
            }
            WrittenPart::Weighted { path, src_field: src, tgt_field: tgt, weight } => {
                let (src_field, tgt_field) = (src.unwrap_or_else(src_field), tgt.unwrap_or_else(tgt_field));
                Self { source: SourceSpec::Jsonl { path, src_field, tgt_field }, weight }
            }
            WrittenPart::Parallel { src, tgt, weight } => {
                Self { source: SourceSpec::Parallel { src, tgt }, weight }
            }
        }
    }
}

impl From<TrainSpec> for WrittenTrain {
    fn from(spec: TrainSpec) -> Self {
        match spec {
            TrainSpec::Shards(shards) => Self::Shards { shards },
            TrainSpec::Text(mut sources) if sources.len() == 1 && sources[0].weight == 1.0 => {
                Self::One(sources.remove(0).source.into())
            }
            TrainSpec::Text(sources) => Self::List(sources.into_iter().map(WrittenPart::from).collect()),
        }
    }
}

impl From<WeightedSource> for WrittenPart {
    fn from(WeightedSource { source, weight }: WeightedSource) -> Self {
        match source.into() {
            Written::File(path) => Self::Weighted { path, src_field: None, tgt_field: None, weight },
            Written::Fields { path, src_field, tgt_field } => {
                Self::Weighted { path, src_field: Some(src_field), tgt_field: Some(tgt_field), weight }
            }
            Written::Parallel { src, tgt } => Self::Parallel { src, tgt, weight },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_path_or_both_sides() {
        let parse = |text: &str| serde_json::from_str::<SourceSpec>(text).map_err(|e| e.to_string());
        let jsonl = |path: &str, src: &str, tgt: &str| SourceSpec::Jsonl {
            path: path.into(),
            src_field: src.into(),
            tgt_field: tgt.into(),
        };
        let rows = [
            (r#""a.tsv""#, SourceSpec::Tsv { path: "a.tsv".into() }),
            (r#""a.tsv.zst""#, SourceSpec::Tsv { path: "a.tsv.zst".into() }),
            (r#""A.JSONL.gz""#, jsonl("A.JSONL.gz", "src", "tgt")),
            (r#"{"path":"a.json","src_field":"de","tgt_field":"en"}"#, jsonl("a.json", "de", "en")),
            (
                r#"{"src":"a.de","tgt":"a.en"}"#,
                SourceSpec::Parallel { src: "a.de".into(), tgt: "a.en".into() },
            ),
        ];
        for (text, spec) in rows {
            assert_eq!(parse(text), Ok(spec.clone()));
            let text = serde_json::to_string(&spec).expect("paths are UTF-8");
            assert_eq!(parse(&text), Ok(spec), "{text}");
        }
        for text in ["{}", "1", r#"{"src":"a"}"#, r#"{"tsv":"a"}"#, r#"{"src":"a","tgt":"b","tsv":"c"}"#] {
            let message = parse(text).expect_err(text);
            assert!(message.contains("expected the path of a TSV or JSON Lines file"), "{text}: {message}");
        }
    }

    #[test]
    fn training_takes_one_several_or_shards() {
        let parse = |text: &str| serde_json::from_str::<TrainSpec>(text).map_err(|e| e.to_string());
        let tsv = |path: &str, weight| WeightedSource { source: SourceSpec::file(path.into()), weight };
        let rows = [
            (r#""a.tsv""#, TrainSpec::Text(vec![tsv("a.tsv", 1.0)])),
            (r#"{"shards":"s"}"#, TrainSpec::Shards("s".into())),
            (
                r#"["a.tsv",{"path":"b.tsv","weight":0.5}]"#,
                TrainSpec::Text(vec![tsv("a.tsv", 1.0), tsv("b.tsv", 0.5)]),
            ),
        ];
        for (text, spec) in rows {
            assert_eq!(parse(text), Ok(spec.clone()));
            let text = serde_json::to_string(&spec).expect("paths are UTF-8");
            assert_eq!(parse(&text), Ok(spec), "{text}");
        }
        let message = parse(r#"{"shrads":"s"}"#).expect_err("no such key");
        assert!(message.contains("{ shards = "), "{message}");
    }
}
