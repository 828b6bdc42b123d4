//! Values of `init`.

use std::path::{Path, PathBuf};

use seqweave_data::SourceSpec;

use crate::args::{self, Preset};
use crate::exit::{Exit, Failure, Outcome};

/// Values of `init`.
#[derive(Debug, PartialEq)]
pub struct Init {
    /// The folder to make.
    pub dir: PathBuf,
    /// What a run of its configuration is called: the folder's name, as far as a run may have it.
    pub name: String,
    /// What goes into it.
    pub contents: Contents,
}

/// What `init` makes.
#[derive(Debug, PartialEq)]
pub enum Contents {
    /// Letters and the same in reverse order, drawn from a seed.
    ToyReverse {
        /// The seed.
        seed: u64,
    },
    /// A configuration for the user's own pairs.
    Own {
        /// The pairs; paths are absolute and UTF-8, as a configuration elsewhere names them.
        pairs: SourceSpec,
    },
}

pub(super) fn init(raw: args::Init, seed: Option<u64>) -> Outcome<Init> {
    let args::Init { dir, data, preset } = raw;
    let contents = match data.as_slice() {
        [] => match preset {
            Preset::ToyReverse => Contents::ToyReverse { seed: seed.unwrap_or(1) },
        },
        [src, tgt, ..] => {
            Contents::Own { pairs: SourceSpec::Parallel { src: absolute(src)?, tgt: absolute(tgt)? } }
        }
        [path] => Contents::Own { pairs: SourceSpec::file(absolute(path)?) },
    };
    Ok(Init { name: run_name(&dir), dir, contents })
}

fn absolute(path: &Path) -> Outcome<PathBuf> {
    let absolute = std::path::absolute(path)
        .map_err(|e| Failure::refused(Exit::Failed, "tell where this is", path, &e))?;
    if absolute.to_str().is_none() {
        return Err(Failure::usage("a config is UTF-8, and this name is not")
            .at(path.display())
            .help("rename the file or its folder"));
    }
    Ok(absolute)
}

fn run_name(dir: &Path) -> String {
    let name = std::path::absolute(dir).ok().and_then(|dir| dir.file_name().map(|n| n.to_os_string()));
    let name = name.unwrap_or_default().to_string_lossy().into_owned();
    let name = name.replace(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)), "-");
    match name.trim_matches(['.', '-']) {
        "" => "run".into(),
        name => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Task;
    use super::super::tests::task;
    use super::*;

    #[test]
    fn a_folder_names_its_run() {
        assert_eq!(run_name(Path::new("somewhere/my model (2)")), "my-model--2");
        assert_eq!(run_name(Path::new("/")), "run");
    }

    #[test]
    fn files_are_pairs_by_their_number_and_name() {
        let here = std::env::current_dir().unwrap();
        let contents = |line: &str| {
            let Task::Init(job) = task(line) else { panic!("{line}") };
            job.contents
        };
        assert_eq!(contents("init d"), Contents::ToyReverse { seed: 1 });
        assert_eq!(contents("init d --seed 7"), Contents::ToyReverse { seed: 7 });
        let pairs = SourceSpec::Tsv { path: here.join("a.tsv") };
        assert_eq!(contents("init d --data a.tsv"), Contents::Own { pairs });
        let pairs = SourceSpec::file(here.join("a.jsonl.gz"));
        assert!(matches!(pairs, SourceSpec::Jsonl { .. }));
        assert_eq!(contents("init d --data a.jsonl.gz"), Contents::Own { pairs });
        let pairs = SourceSpec::Parallel { src: here.join("a.de"), tgt: here.join("a.en") };
        assert_eq!(contents("init d --data a.de a.en"), Contents::Own { pairs });
    }
}
