//! What can go wrong when something is scored.

/// A score that cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An item has no reference to be compared with.
    #[error("item without a reference: expected at least one, found none for output `{output}`")]
    NoReference {
        /// The output that was to be scored (its token count where the tokens are not text).
        output: String,
    },
    /// A metric name that is not known.
    #[error("unknown metric `{name}`: expected one of {}", crate::Metric::names())]
    UnknownMetric {
        /// The name as it was given.
        name: String,
    },
    /// A tokenizer name that is not known.
    #[error("unknown tokenizer `{name}`: expected one of {}", crate::Tok::names())]
    UnknownTok {
        /// The name as it was given.
        name: String,
    },
    /// A metric that outputs and references alone do not give.
    #[error("metric {metric} needs the model: expected a metric of texts")]
    NeedsModel {
        /// The metric.
        metric: crate::Metric,
    },
    /// Two measurements that cannot be compared.
    #[error("a paired test compares like with like: expected {expected}, found {found}")]
    Unpaired {
        /// The first.
        expected: String,
        /// The second.
        found: String,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
