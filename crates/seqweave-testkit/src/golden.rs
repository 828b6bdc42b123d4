//! Golden files: values that PyTorch computed, kept as JSON beside the tests that compare with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::assert_close;

/// A golden file, `{"name": {"shape": [2, 3], "values": [..six numbers..]}, ...}`.
///
/// ```
/// use seqweave_testkit::Golden;
///
/// let golden = Golden::parse(r#"{"y": {"shape": [2, 2], "values": [0.0, 0.5, 1.0, 1.5]}}"#)?;
/// golden.assert_close("y", &[2, 2], &[0.0f32, 0.5, 1.0, 1.5], 1e-6, 0.0);
/// assert!(golden.get("dy").is_err());
/// # Ok::<(), seqweave_testkit::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Golden {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

/// One named array of a golden file.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Axes, outermost first.
    pub shape: Vec<usize>,
    /// The elements in row-major order.
    pub values: Vec<f64>,
}

impl Golden {
    /// Reads and checks a golden file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not JSON, or an entry's values do not fill its shape.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })?;
        parse(path, &text)
    }

    /// The same for a text in memory, for example one from `include_str!`.
    pub fn parse(text: &str) -> Result<Self> {
        parse(Path::new("<text>"), text)
    }

    /// The entry of that name.
    ///
    /// # Errors
    ///
    /// There is none: the message lists the names there are.
    pub fn get(&self, name: &str) -> Result<&Entry> {
        self.entries.get(name).ok_or_else(|| Error::Missing {
            path: self.path.clone(),
            name: name.into(),
            found: self.names().collect::<Vec<_>>().join(", "),
        })
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Asserts that `got`, of this shape, is close to the entry: see [`assert_close`].
    ///
    /// # Panics
    ///
    /// If the entry is missing, its shape differs, or a value is too far away.
    #[track_caller]
    pub fn assert_close<G: Into<f64> + Copy>(
        &self,
        name: &str,
        shape: &[usize],
        got: &[G],
        rtol: f64,
        atol: f64,
    ) {
        let entry = self.get(name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(shape, entry.shape, "{name}: got shape {shape:?}, want {:?}", entry.shape);
        assert_close(got, &entry.values, rtol, atol, name);
    }
}

impl Entry {
    /// The values as ids.
    ///
    /// # Errors
    ///
    /// A value is negative, too large, or not a whole number.
    pub fn ids(&self) -> Result<Vec<u32>> {
        let id = |(index, &value): (usize, &f64)| match value as u32 {
            id if f64::from(id) == value => Ok(id),
            _ => Err(Error::NotAnId { index, value }),
        };
        self.values.iter().enumerate().map(id).collect()
    }
}

fn parse(path: &Path, text: &str) -> Result<Golden> {
    let malformed = |name: &str, problem| Error::Malformed { path: path.into(), name: name.into(), problem };
    let root: Value =
        serde_json::from_str(text).map_err(|source| Error::Json { path: path.into(), source })?;
    let root = root.as_object().ok_or_else(|| malformed("<root>", "an object of entries is expected"))?;
    let mut entries = BTreeMap::new();
    for (name, value) in root {
        let list = |key| value.get(key).and_then(Value::as_array);
        let shape: Option<Vec<usize>> =
            list("shape").and_then(|axes| axes.iter().map(|a| Some(a.as_u64()? as usize)).collect());
        let values: Option<Vec<f64>> =
            list("values").and_then(|values| values.iter().map(Value::as_f64).collect());
        let shape = shape.ok_or_else(|| malformed(name, "`shape` must be a list of sizes"))?;
        let values = values.ok_or_else(|| malformed(name, "`values` must be a flat list of numbers"))?;
        if shape.iter().product::<usize>() != values.len() {
            return Err(malformed(name, "`values` does not fill `shape`"));
        }
        entries.insert(name.clone(), Entry { shape, values });
    }
    Ok(Golden { path: path.into(), entries })
}

/// A golden file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("golden file {}: {source}; `cargo xtask golden` writes the golden files", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not JSON.
    #[error("golden file {}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What and where.
        source: serde_json::Error,
    },
    /// An entry is not an array with a shape.
    #[error("golden file {}, entry `{name}`: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The entry.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no entry of that name.
    #[error("golden file {}: no entry `{name}`, found: {found}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The entry asked for.
        name: String,
        /// The entries there are.
        found: String,
    },
    /// A value read as an id is not one.
    #[error("golden ids: expected a whole number of 0..2^32, found {value} at [{index}]")]
    NotAnId {
        /// Position of the value.
        index: usize,
        /// The value.
        value: f64,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("g.json");
        let text = r#"{"b": {"shape": [1, 2], "values": [1, -2.5e-1]}, "a": {"shape": [], "values": [3]}}"#;
        std::fs::write(&path, text).unwrap();
        let golden = Golden::read(&path).unwrap();
        assert_eq!(golden.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(golden.get("b").unwrap(), &Entry { shape: vec![1, 2], values: vec![1.0, -0.25] });
        assert_eq!(golden.get("a").unwrap().ids().unwrap(), [3]);
        assert!(matches!(golden.get("b").unwrap().ids(), Err(Error::NotAnId { index: 1, .. })));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let rows = [
            ("[]", "an object of entries is expected"),
            ("{", "EOF while parsing"),
            (r#"{"x": 1}"#, "entry `x`: `shape` must be a list of sizes"),
            (r#"{"x": {"shape": [-1], "values": []}}"#, "`shape` must be a list of sizes"),
            (r#"{"x": {"shape": [2], "values": [1, "a"]}}"#, "`values` must be a flat list of numbers"),
            (r#"{"x": {"shape": [2], "values": [1]}}"#, "`values` does not fill `shape`"),
        ];
        for (text, want) in rows {
            let error = Golden::parse(text).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
        let error = Golden::read("no/such.json").unwrap_err().to_string();
        assert!(error.contains("cargo xtask golden"), "{error}");
        let golden = Golden::parse(r#"{"x": {"shape": [0], "values": []}}"#).unwrap();
        let error = golden.get("y").unwrap_err().to_string();
        assert!(error.contains("no entry `y`, found: x"), "{error}");
    }

    #[test]
    #[should_panic(expected = "x: got shape [2, 1], want [1, 2]")]
    fn a_wrong_shape_is_a_failure() {
        let golden = Golden::parse(r#"{"x": {"shape": [1, 2], "values": [1, 2]}}"#).unwrap();
        golden.assert_close("x", &[2, 1], &[1.0, 2.0], 0.0, 0.0);
    }
}
