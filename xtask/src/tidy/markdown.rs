//! Checks of the documentation: line breaks, links, and that every command it names exists.

use super::{File, Finding};
use crate::{binary, test};

/// A line with several sentences is let pass up to this many bytes: a short remark may stay together.
const LONG_LINE: usize = 300;

/// One sentence a line, so that a change shows in the diff as the sentence it changed. Tables and code are free.
pub fn sentences(file: &File) -> Vec<Finding> {
    if !file.is("md") {
        return Vec::new();
    }
    let too_long = |line: &str| line.len() > LONG_LINE && !line.trim_start().starts_with('|');
    prose(file)
        .filter(|(_, line)| too_long(line) && has_two_sentences(line))
        .map(|(n, _)| file.finding(n, "one sentence a line, please: this one is long and has several"))
        .collect()
}

/// A full stop, question or exclamation mark, a space, then a capital.
fn has_two_sentences(line: &str) -> bool {
    let chars: Vec<char> = line.chars().collect();
    chars.windows(3).any(|w| ".?!".contains(w[0]) && w[1] == ' ' && w[2].is_uppercase())
}

/// Every relative link leads to a file or folder of the repository, and to a heading there if it names one; `exists`
/// answers for paths from the root.
pub fn links(files: &[File], exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is("md")) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (n, line) in prose(file) {
            for target in link_targets(line) {
                let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
                if path.contains("://") || path.starts_with("mailto:") {
                    continue;
                }
                let here = path.is_empty();
                let path = if here { Some(file.path.clone()) } else { normalise(folder, path) };
                let Some(path) = path.filter(|path| here || exists(path)) else {
                    findings.push(file.finding(n, format!("the link to `{target}` leads nowhere")));
                    continue;
                };
                let there = files.iter().find(|there| there.path == path && there.is("md"));
                if !anchor.is_empty() && there.is_some_and(|there| !anchors(there).any(|a| a == anchor)) {
                    let message = format!("the link to `{target}` names no heading of that file");
                    findings.push(file.finding(n, message));
                }
            }
        }
    }
    findings
}

/// What a link names a heading by: its letters in lower case, hyphens for blanks, and no punctuation.
fn anchors(file: &File) -> impl Iterator<Item = String> {
    prose(file).filter(|(_, line)| line.starts_with('#')).map(|(_, heading)| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
        heading.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

/// The targets of `[text](target)` and `![text](target "title")`; code spans hold none.
fn link_targets(line: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    // Every second part between backticks is code.
    for text in line.split('`').step_by(2) {
        targets.extend(text.split("](").skip(1).filter_map(|rest| {
            let target = &rest[..rest.find(')')?];
            target.split_whitespace().next()
        }));
    }
    // A link whose text is a code span, [`x`](y), is split before `](`.
    targets
}

/// `folder/path` without `.` and `..`; `None` if it leads out of the repository.
fn normalise(folder: &str, path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Every `cargo xtask VERB`, `cargo xtask test LEVEL` and `seqweave VERB` in code exists.
pub fn commands(file: &File) -> Vec<Finding> {
    // It quotes commands that must fail, and messages in the binary's words.
    if file.path.ends_with("docs/guide/bad-input.md") {
        return Vec::new();
    }
    if !file.is("md") {
        return Vec::new();
    }
    let xtask_verbs = crate::verb_names();
    let mut findings = Vec::new();
    for (n, code) in command_lines(file) {
        let words: Vec<&str> = code.split_whitespace().collect();
        for (i, word) in words.iter().enumerate() {
            let next = |k: usize| words.get(i + k).copied().unwrap_or_default();
            let mut check = |what, name: &str, known: &[&str]| {
                if is_word(name) && !known.contains(&name) {
                    findings.push(file.finding(n, format!("there is no {what} `{name}`")));
                }
            };
            if *word == "cargo" && next(1) == "xtask" {
                check("verb of xtask", next(2), &xtask_verbs);
                if next(2) == "test" {
                    check("test level", next(3), &[&test::LEVELS[..], &["all"]].concat());
                }
            }
            if *word == "seqweave" || word.ends_with("/seqweave") {
                check("verb of seqweave", next(1), &binary::VERBS);
            }
        }
    }
    findings
}

/// A verb as opposed to an option, a path or a placeholder such as VERB.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !text.starts_with('-')
}

/// The code in which commands are: spans in prose, and blocks of no language or of a shell.
fn command_lines(file: &File) -> Vec<(usize, &str)> {
    let mut code = Vec::new();
    for (n, line, fence) in fenced(file) {
        match fence {
            None => code.extend(line.split('`').skip(1).step_by(2).map(|span| (n, span))),
            Some("" | "sh" | "bash" | "shell" | "console" | "text") => code.push((n, line)),
            Some(_) => {}
        }
    }
    code
}

/// The lines outside code blocks.
fn prose(file: &File) -> impl Iterator<Item = (usize, &str)> {
    fenced(file).into_iter().filter(|(_, _, fence)| fence.is_none()).map(|(n, line, _)| (n, line))
}

/// Every line with its number and, inside a code block, the language of the block. The fences themselves are dropped.
fn fenced(file: &File) -> Vec<(usize, &str, Option<&str>)> {
    let mut lines = Vec::new();
    let mut fence = None;
    for (n, line) in file.lines() {
        match (line.trim_start().strip_prefix("```"), fence) {
            (Some(language), None) => fence = Some(language.trim()),
            (Some(_), Some(_)) => fence = None,
            (None, fence) => lines.push((n, line, fence)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::{CLEAN, found};
    use super::*;

    #[test]
    fn long_lines_have_one_sentence() {
        let long = "word ".repeat(70);
        let rows = [
            (format!("{long}. More"), true),
            (format!("{long}? More"), true),
            (format!("{long}, i.e. more"), false),
            ("Short. More".into(), false),
            (format!("| {long}. More |"), false),
            (format!("```\n{long}. More\n```"), false),
        ];
        for (text, want) in rows {
            assert_eq!(!found(sentences, "docs/x.md", &text).is_empty(), want, "{text}");
        }
        assert_eq!(found(sentences, "x.rs", &format!("{long}. More")), CLEAN);
    }

    #[test]
    fn links_lead_somewhere() {
        let there = ["README.md", "docs/guide/a.md", "docs/guide"];
        let rows = [
            ("README.md", "[a](docs/guide/a.md#top) and [b](docs/guide)", 0),
            ("docs/guide/a.md", "# Top\n[up](../../README.md) [here](./a.md) [self](#top)", 0),
            (
                "docs/guide/a.md",
                "## What `x` is, and why\n[a](#what-x-is-and-why) [b](a.md#what-x-is-and-why)",
                0,
            ),
            ("docs/guide/a.md", "# Top\n[self](#bottom) [the same](a.md#bottom)", 2),
            ("docs/guide/a.md", "[web](https://example.org/x) [mail](mailto:a@example.org)", 0),
            ("docs/guide/a.md", "[gone](b.md)", 1),
            ("docs/guide/a.md", "[`code`](b.md) ![picture](c.png \"title\")", 2),
            ("README.md", "[out](../x.md)", 1),
            ("README.md", "`[code](x.md)`\n```\n[code](x.md)\n```", 0),
            ("src/a.rs", "[gone](b.md)", 0),
        ];
        for (path, text, want) in rows {
            let files = [File { path: path.into(), text: text.into() }];
            let findings = links(&files, |path| there.contains(&path));
            assert_eq!(findings.len(), want, "{path}: {text}: {findings:?}");
        }
    }

    #[test]
    fn commands_exist() {
        let rows = [
            ("run `cargo xtask train` and `seqweave translate -m DIR`", 0),
            ("run `cargo xtask trian`", 1),
            ("`cargo xtask test kernels`, `cargo xtask test --trials 3`, `cargo xtask test all`", 0),
            ("`cargo xtask test units`", 1),
            ("`cargo xtask VERB`, `seqweave --version`, `seqweave`", 0),
            ("seqweave is prose, `seqweave-nn` and `use seqweave::Translator` are names", 0),
            ("```sh\necho x | target/release/seqweave tarnslate -m x\n```", 1),
            ("```\ncargo xtask nothing\n```", 1),
            ("```rust\nlet seqweave = seqweave again;\n```", 0),
        ];
        for (text, want) in rows {
            assert_eq!(found(commands, "README.md", text).len(), want, "{text}");
        }
    }
}
