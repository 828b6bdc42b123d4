//! What people see on stderr: notes, warnings, errors, in colour where that is wanted.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;

use clap::builder::styling::{AnsiColor, Style};
use indicatif::ProgressBar;

use crate::args::{Color, Global};
use crate::exit::Failure;

/// The voice of the program.
#[derive(Debug)]
pub struct Ui {
    level: Level,
    /// The bar under which messages must be kept, if one is shown.
    bar: Mutex<Option<ProgressBar>>,
}

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Warnings and errors.
    Quiet,
    /// Also what is being done.
    Normal,
    /// Also why and with what.
    Verbose,
}

impl Ui {
    /// As the global options want it.
    pub fn new(global: &Global) -> Self {
        let level = match (global.quiet, global.verbose) {
            (true, _) => Level::Quiet,
            (_, true) => Level::Verbose,
            _ => Level::Normal,
        };
        Self { level, bar: Mutex::new(None) }
    }

    /// How much is said.
    pub fn level(&self) -> Level {
        self.level
    }

    /// What is being done; silent with --quiet.
    pub fn note(&self, text: impl AsRef<str>) {
        if self.level >= Level::Normal {
            self.say(text.as_ref());
        }
    }

    /// Details; only with --verbose.
    pub fn detail(&self, text: impl AsRef<str>) {
        if self.level >= Level::Verbose {
            self.say(text.as_ref());
        }
    }

    /// Something that may not be as intended.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.say(&format!("{} {}", paint("warning:"), text.as_ref()));
    }

    /// Why the program ends.
    pub fn fail(&self, failure: &Failure) {
        self.say(&failure.render(paint));
    }

    /// A progress bar on stderr, if that is a terminal and notes are wanted; otherwise one that is never drawn.
    pub fn bar(&self, length: u64) -> ProgressBar {
        if self.level < Level::Normal || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(length);
        self.lock().replace(bar.clone());
        bar
    }

    /// Takes the bar away.
    pub fn clear_bar(&self) {
        if let Some(bar) = self.lock().take() {
            bar.finish_and_clear();
        }
    }

    fn say(&self, text: &str) {
        // Nobody is left to be told when stderr is gone, so a failing write is not an error.
        let write = || {
            let _ = writeln!(anstream::stderr().lock(), "{text}");
        };
        match self.lock().as_ref() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Applies --color to everything that is printed from here on, help texts included.
pub fn set_color(color: Color) {
    let choice = match color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// The value of --color before the command line is parsed, so that the parser's own messages follow it.
pub fn early_color(args: impl Iterator<Item = std::ffi::OsString>) -> Option<Color> {
    let mut words = args.filter_map(|word| word.into_string().ok());
    let mut found = None;
    while let Some(word) = words.next() {
        let value = match word.strip_prefix("--color") {
            Some("") => words.next(),
            Some(rest) => rest.strip_prefix('=').map(str::to_owned),
            None if word == "--" => break,
            None => None,
        };
        found = match value.as_deref() {
            Some("always") => Some(Color::Always),
            Some("never") => Some(Color::Never),
            Some("auto") => Some(Color::Auto),
            _ => found,
        };
    }
    found
}

/// The leading words of messages in their colours; the stream strips them where colour is not wanted.
fn paint(word: &'static str) -> String {
    let colour = match word {
        "error:" => AnsiColor::Red,
        "warning:" => AnsiColor::Yellow,
        _ => AnsiColor::Cyan,
    };
    let style = Style::new().bold().fg_color(Some(colour.into()));
    format!("{style}{word}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_is_found_wherever_it_stands() {
        let find = |line: &str| early_color(line.split(' ').map(Into::into));
        assert_eq!(find("translate --color never -m x"), Some(Color::Never));
        assert_eq!(find("--color=always --help"), Some(Color::Always));
        assert_eq!(find("--color=always --color auto"), Some(Color::Auto));
        assert_eq!(find("translate -- --color never"), None);
        assert_eq!(find("--color"), None);
        assert_eq!(find("--color sometimes"), None);
    }
}
