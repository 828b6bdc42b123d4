//! What to write for a source word that the model does not know.

use std::collections::HashMap;
use std::path::Path;

use seqweave_data::{SourceSpec, load};

use crate::Result;

/// Target words by source words, for the replacement of unknown tokens; an empty one copies source words.
///
/// ```
/// use seqweave::Dictionary;
///
/// let dictionary = Dictionary::from_pairs([("Wien", "Vienna"), ("Wien", "Wien")]);
/// assert_eq!(dictionary.get("Wien"), Some("Vienna"));
/// assert_eq!(dictionary.get("Graz"), None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dictionary {
    words: HashMap<String, String>,
}

impl Dictionary {
    /// A dictionary of pairs; of several for one source word, the first counts.
    pub fn from_pairs<S: Into<String>, T: Into<String>>(pairs: impl IntoIterator<Item = (S, T)>) -> Self {
        let mut words = HashMap::new();
        for (source, target) in pairs {
            words.entry(source.into()).or_insert_with(|| target.into());
        }
        Self { words }
    }

    /// Reads `source<TAB>target` lines. Source words are spelled as the model reads them.
    ///
    /// # Errors
    /// A file that cannot be read, or a line that is no pair.
    pub fn from_tsv(path: &Path) -> Result<Self> {
        let pairs = load(&SourceSpec::Tsv { path: path.to_owned() })?;
        Ok(Self::from_pairs(pairs.into_iter().map(|pair| (pair.src, pair.tgt))))
    }

    /// What the dictionary has for a source word.
    pub fn get(&self, word: &str) -> Option<&str> {
        self.words.get(word).map(String::as_str)
    }
}
