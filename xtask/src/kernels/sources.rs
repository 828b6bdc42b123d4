//! The `.cu` files: reading them, and what depends on their text alone.

use std::path::PathBuf;

use super::generate::Family;
use super::scan;
use crate::error::{Error, Result};
use crate::workspace;

/// What an ordinary file is compiled for. PTX of the oldest is for devices newer than all of them.
pub const TARGETS: &[&str] = &["sm_80", "sm_90", "sm_100", "sm_120", "compute_80"];

/// What a `*_sm90a.cu` file is compiled for: it uses instructions that only Hopper has.
const HOPPER: &[&str] = &["sm_90a"];

/// All kernel sources, in the order of their names.
pub struct Sources {
    /// The text of `prelude.cuh`, the one header.
    pub prelude: String,
    pub families: Vec<Family>,
    /// The texts of the families.
    pub texts: Vec<String>,
}

/// The folder of the crate of kernels.
pub fn folder() -> PathBuf {
    workspace::root().join("kernels")
}

impl Sources {
    /// Reads `kernels/cu/`.
    pub fn read() -> Result<Self> {
        let folder = folder().join("cu");
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(Error::io("reading", &path))
        };
        let mut names = Vec::new();
        for file in std::fs::read_dir(&folder).map_err(Error::io("reading", &folder))? {
            let name = file.map_err(Error::io("reading", &folder))?.file_name();
            names.extend(name.to_str().and_then(|name| name.strip_suffix(".cu")).map(str::to_string));
        }
        names.sort();
        let mut sources = Sources { prelude: read("prelude.cuh")?, families: Vec::new(), texts: Vec::new() };
        for name in names {
            let text = read(&format!("{name}.cu"))?;
            let path = format!("kernels/cu/{name}.cu");
            let kernels = scan::kernels(&path, &text)?;
            only_the_prelude(&path, &text)?;
            let targets = if name.ends_with("_sm90a") { HOPPER } else { TARGETS };
            sources.families.push(Family { name, kernels, targets });
            sources.texts.push(text);
        }
        distinct(&sources.families)?;
        Ok(sources)
    }

    /// The hash of all that a family's images depend on but the compiler.
    pub fn hash(&self, family: usize) -> String {
        let mut hasher = blake3::Hasher::new();
        for text in [&self.prelude, &self.texts[family]] {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// Nothing but the prelude is included: neither the wheel nor a user's machine has headers.
fn only_the_prelude(path: &str, text: &str) -> Result<()> {
    for (i, line) in text.lines().enumerate() {
        let included =
            line.trim_start().strip_prefix('#').and_then(|rest| rest.trim_start().strip_prefix("include"));
        if included.is_some_and(|file| file.trim() != "\"prelude.cuh\"") {
            let expected = "no include but `\"prelude.cuh\"`".into();
            return Err(Error::Kernel {
                path: path.into(),
                line: i + 1,
                expected,
                found: line.trim().into(),
            });
        }
    }
    Ok(())
}

/// A name is one function in the launchers and one kernel in the stand-in.
fn distinct(families: &[Family]) -> Result<()> {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for family in families {
        for kernel in &family.kernels {
            if let Some((_, first)) = seen.iter().find(|(name, _)| *name == kernel.name) {
                return Err(Error::Kernel {
                    path: format!("kernels/cu/{}.cu", family.name),
                    line: kernel.line,
                    expected: format!("a name that {first}.cu does not have"),
                    found: kernel.name.clone(),
                });
            }
            seen.push((&kernel.name, &family.name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_are_checked() {
        assert!(only_the_prelude("a.cu", "#include \"prelude.cuh\"\n// #include <x>\n").is_ok());
        for line in ["#include <cuda_bf16.h>", "# include \"other.cuh\"", "#include<x>"] {
            let error = only_the_prelude("a.cu", &format!("\n{line}\n")).unwrap_err().to_string();
            assert!(error.starts_with("a.cu:2: expected no include but"), "{error}");
        }
    }

    #[test]
    fn a_name_is_given_once() {
        let family = |name: &str, kernel: &str| Family {
            name: name.into(),
            kernels: scan::kernels(name, &format!("KERNEL({kernel}, 32, 1)() {{}}")).unwrap(),
            targets: TARGETS,
        };
        assert!(distinct(&[family("a", "x"), family("b", "y")]).is_ok());
        let error = distinct(&[family("a", "x"), family("b", "x")]).unwrap_err().to_string();
        assert!(error.contains("kernels/cu/b.cu:1: expected a name that a.cu does not have"), "{error}");
    }
}
