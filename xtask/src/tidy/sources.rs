//! Checks of source files: header, size, `unsafe`, unfinished work, paths of somebody's machine.

use super::{File, Finding};

/// Most lines of a Rust or Python file. One idea fits into fewer.
const MAX_LINES: usize = 700;

/// What is not committed, put together here so that this file does not find itself.
const UNFINISHED: [&str; 4] =
    [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!("), concat!("#[", "ignore")];

/// First folders of absolute paths that only make sense on the machine of whoever wrote them.
const MACHINE_FOLDERS: [&str; 3] = [concat!("/", "work/"), concat!("/", "root/"), concat!("/", "home/")];

/// Every Rust file opens with `//!`, which says what the file is about.
pub fn header(file: &File) -> Vec<Finding> {
    if file.is("rs") && !file.text.starts_with("//! ") {
        return vec![file.finding(1, "the file must open with a `//!` line that says what it is about")];
    }
    Vec::new()
}

/// Files stay small enough to be read at once, generated ones too.
pub fn size(file: &File) -> Vec<Finding> {
    let lines = file.text.lines().count();
    if (file.is("rs") || file.is("py")) && lines > MAX_LINES {
        return vec![file.finding(0, format!("{lines} lines, at most {MAX_LINES}: split it by idea"))];
    }
    Vec::new()
}

/// Every crate forbids `unsafe`, but for the one that owns it, and the one that denies it outside of its memory map.
pub fn no_unsafe(file: &File) -> Vec<Finding> {
    let is_root = file.path.ends_with("src/lib.rs") || file.path.ends_with("src/main.rs");
    let wanted = match file.path.split('/').nth(1) {
        _ if !is_root => return Vec::new(),
        Some("seqweave-tensor") => return Vec::new(),
        Some("seqweave-data") => "#![deny(unsafe_code)]",
        _ => "#![forbid(unsafe_code)]",
    };
    if file.text.lines().any(|line| line == wanted) {
        return Vec::new();
    }
    vec![file.finding(0, format!("a crate other than seqweave-tensor must have `{wanted}`"))]
}

/// In `seqweave-data`, one module may contain `unsafe`.
pub fn one_map(file: &File) -> Vec<Finding> {
    let is_map = file.path == "crates/seqweave-data/src/shard/map.rs";
    if !file.path.starts_with("crates/seqweave-data/") || is_map || !file.text.contains("allow(unsafe_code") {
        return Vec::new();
    }
    vec![file.finding(0, "only shard/map.rs may allow `unsafe` in seqweave-data")]
}

/// Nothing unfinished, no leftovers of debugging, no test that does not run.
pub fn unfinished(file: &File) -> Vec<Finding> {
    if !file.is("rs") {
        return Vec::new();
    }
    let code = file.lines().filter(|(_, line)| !line.trim_start().starts_with("//"));
    let hits = code.flat_map(|(n, line)| UNFINISHED.iter().map(move |word| (n, line, word)));
    hits.filter(|(_, line, word)| line.contains(**word))
        .map(|(n, _, word)| file.finding(n, format!("`{word}` is not committed: finish it or remove it")))
        .collect()
}

/// No absolute path of somebody's machine.
pub fn machine_paths(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (n, line) in file.lines() {
        for folder in MACHINE_FOLDERS {
            // `a/home/b` is a path below here, or a web address; only a path that starts so is meant.
            let absolute = line.match_indices(folder).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                before.is_none_or(|c| !c.is_alphanumeric() && !"._-/}".contains(c))
            });
            if absolute {
                findings.push(file.finding(n, format!("`{folder}…` is a path of one machine")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::{CLEAN, found};
    use super::*;

    #[test]
    fn header_comes_first() {
        assert_eq!(found(header, "a.rs", "//! About.\nfn f() {}\n"), CLEAN);
        assert_eq!(found(header, "a.rs", "use x;\n//! About.\n"), [1]);
        assert_eq!(found(header, "a.rs", ""), [1]);
        assert_eq!(found(header, "a.py", "import x\n"), CLEAN);
    }

    #[test]
    fn size_is_limited() {
        assert_eq!(found(size, "a.rs", &"x\n".repeat(700)), CLEAN);
        assert_eq!(found(size, "a.rs", &"x\n".repeat(701)), [0]);
        assert_eq!(found(size, "a.py", &"x\n".repeat(701)), [0]);
        assert_eq!(found(size, "Cargo.lock", &"x\n".repeat(701)), CLEAN);
    }

    #[test]
    fn unsafe_is_forbidden() {
        let good = "//! A.\n#![forbid(unsafe_code)]\n";
        assert_eq!(found(no_unsafe, "crates/seqweave-nn/src/lib.rs", good), CLEAN);
        assert_eq!(found(no_unsafe, "crates/seqweave-nn/src/lib.rs", "//! #![forbid(unsafe_code)]\n"), [0]);
        assert_eq!(found(no_unsafe, "xtask/src/main.rs", "//! A.\n"), [0]);
        assert_eq!(found(no_unsafe, "crates/seqweave-tensor/src/lib.rs", "//! A.\n"), CLEAN);
        assert_eq!(found(no_unsafe, "crates/seqweave-nn/src/linear.rs", "//! A.\n"), CLEAN);
        let denied = "//! A.\n#![deny(unsafe_code)]\n";
        assert_eq!(found(no_unsafe, "crates/seqweave-data/src/lib.rs", denied), CLEAN);
        assert_eq!(found(no_unsafe, "crates/seqweave-nn/src/lib.rs", denied), [0]);
        let allowed = "//! A.\n#![allow(unsafe_code)]\n";
        assert_eq!(found(one_map, "crates/seqweave-data/src/shard/map.rs", allowed), CLEAN);
        assert_eq!(found(one_map, "crates/seqweave-data/src/batch.rs", allowed), [0]);
    }

    #[test]
    fn unfinished_work_is_found() {
        for word in UNFINISHED {
            assert_eq!(found(unfinished, "a.rs", &format!("fn f() {{\n    {word}x)]\n}}\n")), [2], "{word}");
            assert_eq!(found(unfinished, "a.rs", &format!("// no {word}\n")), CLEAN);
            assert_eq!(found(unfinished, "a.md", word), CLEAN);
        }
    }

    #[test]
    fn machine_paths_are_found() {
        let [work, root, home] = MACHINE_FOLDERS;
        let rows = [
            (format!("let p = \"{home}me/x\";"), true),
            (format!("{root}x"), true),
            (format!("see ({work}x)"), true),
            (format!("target{work}x and ../..{work}x"), false),
            (format!("https://example.org{home}x"), false),
            (format!("{{root}}{work}x"), false),
            ("frame/works".to_string(), false),
        ];
        for (line, want) in rows {
            let lines = found(machine_paths, "any.toml", &format!("first\n{line}\n"));
            assert_eq!(!lines.is_empty(), want, "{line}");
            assert!(lines.iter().all(|&n| n == 2));
        }
    }
}
