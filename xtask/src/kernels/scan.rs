//! Reads the `KERNEL` declarations of the `.cu` files.
//!
//! A declaration is `KERNEL(name, threads, min_blocks)(type name, …) { … }`, with integer literals; nothing else of C++ is
//! understood, which is why kernels are declared so.

use crate::error::{Error, Result};

/// A kernel as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    pub name: String,
    pub threads: u32,
    pub min_blocks: u32,
    /// Its blocks wait for each other: the body calls a function whose name begins with `grid_barrier` or `grid_sync`, or
    /// the kernel's name has `_persistent_` in it.
    pub cooperative: bool,
    pub params: Vec<Param>,
    /// The line of the declaration, from 1.
    pub line: usize,
}

/// A parameter as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    pub name: String,
    /// As in C++, one space between the words: `const float*`.
    pub ctype: String,
    pub kind: Kind,
}

/// How a parameter is used. The text is the Rust element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Read(&'static str),
    Write(&'static str),
    Value(&'static str),
}

/// (C++ type, how it is passed). `bf16` and `u16` are both the bits of a bfloat16.
#[rustfmt::skip]
const TYPES: [(&str, Kind); 18] = [
    ("const float*", Kind::Read("f32")), ("float*", Kind::Write("f32")),
    ("const double*", Kind::Read("f64")), ("double*", Kind::Write("f64")),
    ("const u16*", Kind::Read("u16")), ("u16*", Kind::Write("u16")),
    ("const bf16*", Kind::Read("u16")), ("bf16*", Kind::Write("u16")),
    ("const int*", Kind::Read("i32")), ("int*", Kind::Write("i32")),
    ("const u32*", Kind::Read("u32")), ("u32*", Kind::Write("u32")),
    ("const u64*", Kind::Read("u64")), ("u64*", Kind::Write("u64")),
    ("int", Kind::Value("i32")), ("u32", Kind::Value("u32")), ("u64", Kind::Value("u64")), ("float", Kind::Value("f32")),
];

/// The kernels of a file, in order. `path` is for messages.
pub fn kernels(path: &str, text: &str) -> Result<Vec<Kernel>> {
    let code = blank_comments(text);
    let mut kernels = Vec::new();
    let mut from = 0;
    while let Some(at) = code[from..].find("KERNEL(").map(|at| from + at) {
        from = at + "KERNEL".len();
        let line_start = code[..at].rfind('\n').map_or(0, |at| at + 1);
        let before = code[line_start..at].trim_start();
        // The macro's own definition, or a longer name.
        if before.starts_with("#define") || code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        kernels.push(kernel(&code[from..], line).map_err(|expected| Error::Kernel {
            path: path.into(),
            line,
            expected,
            found: text.lines().nth(line - 1).unwrap_or_default().trim().into(),
        })?);
    }
    Ok(kernels)
}

/// The declaration that goes on after `KERNEL`, or what was expected there.
fn kernel(code: &str, line: usize) -> std::result::Result<Kernel, String> {
    let shape = "`KERNEL(name, threads, min_blocks)(parameters) {` with integer literals";
    let (head, rest) = enclosed(code, '(', ')').ok_or(shape)?;
    let (params, rest) = enclosed(rest.trim_start(), '(', ')').ok_or(shape)?;
    let (body, _) = enclosed(rest.trim_start(), '{', '}').ok_or(shape)?;
    let head: Vec<&str> = head.split(',').map(str::trim).collect();
    let [name, threads, min_blocks] = head[..] else { return Err(shape.into()) };
    let threads: u32 = threads.parse().map_err(|_| shape)?;
    let min_blocks: u32 = min_blocks.parse().map_err(|_| shape)?;
    if !is_identifier(name) {
        return Err(shape.into());
    }
    if !(32..=1024).contains(&threads) || !threads.is_multiple_of(32) {
        return Err("whole warps a block, at most 1024 threads".into());
    }
    let params = if params.trim().is_empty() {
        Vec::new()
    } else {
        params.split(',').map(param).collect::<std::result::Result<_, _>>()?
    };
    // A persistent kernel may call the barrier in a helper.
    let cooperative =
        body.contains("grid_barrier") || body.contains("grid_sync") || name.contains("_persistent_");
    Ok(Kernel { name: name.into(), threads, min_blocks, cooperative, params, line })
}

fn param(text: &str) -> std::result::Result<Param, String> {
    let text = text.replace("__restrict__", " ").replace('*', "* ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let expected =
        || format!("a parameter `TYPE NAME` with a type of {}", TYPES.map(|(ctype, _)| ctype).join(", "));
    let [ctype @ .., name] = &words[..] else { return Err(expected()) };
    let ctype = ctype.join(" ").replace(" *", "*");
    match TYPES.iter().find(|(known, _)| *known == ctype) {
        Some((_, kind)) if is_identifier(name) => Ok(Param { name: (*name).into(), ctype, kind: *kind }),
        _ => Err(expected()),
    }
}

/// What stands between the bracket that `text` begins with and its partner, and what comes after.
fn enclosed(text: &str, open: char, close: char) -> Option<(&str, &str)> {
    let mut depth = 0;
    if !text.starts_with(open) {
        return None;
    }
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some((&text[open.len_utf8()..at], &text[at + close.len_utf8()..]));
            }
        }
    }
    None
}

fn is_identifier(text: &str) -> bool {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_uppercase() || c == '_';
    text.starts_with(letters) && text.chars().all(|c| letters(c) || c.is_ascii_digit())
}

/// The text with comments turned to spaces; lines stay where they are.
fn blank_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('/', Some('/')) => {
                while chars.peek().is_some_and(|&c| c != '\n') {
                    chars.next();
                }
            }
            ('/', Some('*')) => {
                let mut last = ' ';
                chars.next();
                for c in chars.by_ref() {
                    if c == '\n' {
                        code.push('\n');
                    }
                    if last == '*' && c == '/' {
                        break;
                    }
                    last = c;
                }
                code.push(' ');
            }
            _ => code.push(c),
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read() {
        let text = "#define KERNEL(name, threads, blocks) x\n\
                    // KERNEL(no, 1, 1)() {}\n\
                    /* KERNEL(no, 1, 1)()\n {} */\n\
                    KERNEL(axpy, 256, 2)(const float* __restrict__ x, float *y,\n    float a, // a comment, with a comma\n    int n) {\n    if (n) { y[0] = a; }\n}\n\
                    KERNEL(steps, 1024, 1)(const u64* table, u16* h, u32* barrier) { for (;;) { grid_barrier(barrier); } }\n";
        let found = kernels("a.cu", text).unwrap();
        let names: Vec<_> =
            found.iter().map(|k| (&*k.name, k.threads, k.min_blocks, k.cooperative, k.line)).collect();
        assert_eq!(names, [("axpy", 256, 2, false, 5), ("steps", 1024, 1, true, 10)]);
        let params: Vec<_> = found[0].params.iter().map(|p| (&*p.name, &*p.ctype, p.kind)).collect();
        assert_eq!(
            params,
            [
                ("x", "const float*", Kind::Read("f32")),
                ("y", "float*", Kind::Write("f32")),
                ("a", "float", Kind::Value("f32")),
                ("n", "int", Kind::Value("i32")),
            ]
        );
        assert_eq!(found[1].params[1].kind, Kind::Write("u16"));
    }

    #[test]
    fn what_is_not_a_declaration_is_an_error_with_its_line() {
        let rows = [
            ("KERNEL(a, THREADS, 1)(int n) {}", "integer literals"),
            ("KERNEL(a, 256)(int n) {}", "integer literals"),
            ("KERNEL(a, 256, 1)(int n);", "integer literals"),
            ("KERNEL(a, 100, 1)(int n) {}", "whole warps"),
            ("KERNEL(a, 2048, 1)(int n) {}", "at most 1024"),
            ("KERNEL(a, 256, 1)(char* x) {}", "TYPE NAME"),
            ("KERNEL(a, 256, 1)(int) {}", "TYPE NAME"),
            ("KERNEL(a, 256, 1)(float* const* x) {}", "TYPE NAME"),
        ];
        for (text, want) in rows {
            let error = kernels("a.cu", &format!("\n{text}\n")).unwrap_err().to_string();
            assert!(error.starts_with("a.cu:2: ") && error.contains(want) && error.contains(text), "{error}");
        }
    }
}
