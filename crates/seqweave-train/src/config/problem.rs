//! What can be wrong with a configuration, and how it is shown.

use std::fmt;
use std::ops::Range;

/// All mistakes of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Problems(pub Vec<Problem>);

/// One mistake of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The dotted key ("train.optimizer.lr"); empty for a mistake in the syntax.
    pub key: String,
    /// What is wrong.
    pub kind: ProblemKind,
    /// Where, unless the configuration was built in a program.
    pub place: Option<Place>,
}

/// The kinds of mistakes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The text is not TOML.
    Syntax {
        /// What the parser expected or found.
        detail: String,
    },
    /// There is no such key.
    UnknownKey {
        /// The table it stands in; empty at the top.
        table: String,
        /// A key it may be meant for.
        suggestion: Option<String>,
        /// The keys there are.
        valid: Vec<String>,
    },
    /// The value is of another type.
    WrongType {
        /// What is accepted.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The value is none of the words accepted.
    UnknownValue {
        /// What was given.
        found: String,
        /// A word it may be meant for.
        suggestion: Option<String>,
        /// The words there are.
        valid: Vec<String>,
    },
    /// The number is out of range.
    OutOfRange {
        /// What was given.
        found: String,
        /// What is accepted.
        allowed: String,
    },
    /// A required key has no value.
    Missing {
        /// What it should hold.
        expected: String,
    },
    /// The value is fine alone, but not with the others.
    Conflict {
        /// What was given.
        found: String,
        /// What holds together, and what to change.
        rule: String,
    },
    /// The section itself refuses the value.
    Refused {
        /// What it said.
        detail: String,
    },
    /// An override on the command line is not `key=value`.
    Override {
        /// The override.
        found: String,
    },
}

/// Where a mistake is.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The file, or `--set`.
    pub file: String,
    /// Line and column from 1, counted in characters; none for an override.
    pub position: Option<(usize, usize)>,
    /// The text of the line.
    pub text: String,
    /// Characters before the marked part.
    pub indent: usize,
    /// Characters of the marked part; at least 1.
    pub width: usize,
}

impl Place {
    pub(super) fn new(file: &str, text: &str, span: &Range<usize>, is_numbered: bool) -> Place {
        let boundary = |mut at: usize| {
            at = at.min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (start, end) = (boundary(span.start), boundary(span.end));
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let indent = text[line_start..start].chars().count().min(line.chars().count());
        let width = text[start..end.clamp(start, line_end)].chars().count().max(1);
        let number = 1 + text[..line_start].matches('\n').count();
        Place {
            file: file.into(),
            position: is_numbered.then_some((number, indent + 1)),
            text: line.into(),
            indent,
            width,
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the configuration has {count} mistake{}", if count == 1 { "" } else { "s" })?;
        for problem in &self.0 {
            write!(f, "\n\n{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            None => write!(f, "{}", Headline(self)),
            Some(place) => {
                write!(f, "{}", place.file)?;
                if let Some((line, column)) = place.position {
                    write!(f, ":{line}:{column}")?;
                }
                write!(f, ": {}{}", Headline(self), Excerpt(place))
            }
        }
    }
}

struct Headline<'a>(&'a Problem);

impl fmt::Display for Headline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { key, kind, .. } = self.0;
        match kind {
            ProblemKind::Syntax { detail } => write!(f, "not valid TOML: {detail}"),
            ProblemKind::UnknownKey { table, suggestion, valid } => {
                write!(f, "unknown key `{key}`")?;
                match suggestion {
                    Some(suggestion) => write!(f, "; did you mean `{suggestion}`?")?,
                    None => f.write_str(".")?,
                }
                let place = if table.is_empty() { "at the top".into() } else { format!("in [{table}]") };
                write!(f, " Keys {place}: {}", valid.join(", "))
            }
            ProblemKind::WrongType { expected, found } => {
                write!(f, "`{key}` has the wrong type: expected {expected}, found {found}")
            }
            ProblemKind::UnknownValue { found, suggestion, valid } => {
                write!(f, "`{key}` is {found}, expected one of {}", quoted(valid))?;
                match suggestion {
                    Some(suggestion) => write!(f, "; did you mean \"{suggestion}\"?"),
                    None => Ok(()),
                }
            }
            ProblemKind::OutOfRange { found, allowed } => write!(f, "`{key}` is {found}, expected {allowed}"),
            ProblemKind::Missing { expected } => write!(f, "`{key}` is missing: set it to {expected}"),
            ProblemKind::Conflict { found, rule } => write!(f, "`{key}` is {found}, but {rule}"),
            ProblemKind::Refused { detail } if key.is_empty() => {
                write!(f, "the configuration is refused: {detail}")
            }
            ProblemKind::Refused { detail } => write!(f, "`{key}` is refused: {detail}"),
            ProblemKind::Override { found } => {
                write!(f, "the override `{found}` is not of the form key=value, as in model.hidden=512")
            }
        }
    }
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

/// The line with carets under the marked part.
struct Excerpt<'a>(&'a Place);

/// Longer lines are shown by this many characters around the mark.
const EXCERPT_CHARS: usize = 100;

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { position, text, indent, width, .. } = self.0;
        // A file may have lines of any length; the window begins a little before the mark.
        let skipped = if *indent > EXCERPT_CHARS / 2 { indent - EXCERPT_CHARS / 2 } else { 0 };
        let shown: String = text
            .chars()
            .skip(skipped)
            .take(EXCERPT_CHARS)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let number = position.map_or(String::new(), |(line, _)| line.to_string());
        let gutter = " ".repeat(number.len());
        let indent = indent - skipped;
        let carets = "^".repeat((*width).clamp(1, EXCERPT_CHARS.saturating_sub(indent).max(1)));
        write!(f, "\n {gutter} |\n {number} | {shown}\n {gutter} | {}{carets}", " ".repeat(indent))
    }
}
