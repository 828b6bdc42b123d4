//! Figures: pure functions from plain data to an SVG string, and SVG to PNG.
//!
//! [`AttentionMap::to_svg`] draws a heat map, [`Curves::to_svg`] stacked panels of training curves, [`Fonts::render`]
//! turns either into PNG bytes, [`inline`] into a part of an HTML page. Nothing here reads a file except [`Fonts::load`], and nothing prints.

mod attention;
mod canvas;
mod curves;
mod inline;
mod png;
mod shade;
mod ticks;

pub use attention::AttentionMap;
pub use curves::{Best, Curves, Panel, Scale, Series};
pub use inline::{PALETTE, inline};
pub use png::{Fonts, Png};

/// The families tried for every label, in order; the first ones cover Chinese, Japanese and Korean.
pub const FONT_FAMILIES: &str = "Noto Sans CJK SC, WenQuanYi Micro Hei, DejaVu Sans, sans-serif";

/// Why a figure could not be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The weight matrix does not fit the token lists.
    #[error(
        "attention weights: row {row} has {found} values, expected {expected} (one for each source token)"
    )]
    RowLength {
        /// Index of the target token whose row is wrong.
        row: usize,
        /// Number of source tokens.
        expected: usize,
        /// Length of the row.
        found: usize,
    },
    /// There is not one row for each target token.
    #[error("attention weights: {found} rows, expected {expected} (one for each target token)")]
    RowCount {
        /// Number of target tokens.
        expected: usize,
        /// Number of rows.
        found: usize,
    },
    /// A figure of nothing was asked for.
    #[error("nothing to draw: {what} is empty")]
    Empty {
        /// What has no entries.
        what: &'static str,
    },
    /// A side has more tokens than a figure can show.
    #[error("too large to draw: {found} {what}, at most {limit} fit in one figure")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The greatest number that is drawn.
        limit: usize,
        /// How many there are.
        found: usize,
    },
    /// A weight is NaN or infinite.
    #[error("attention weights: row {row}, column {column} is {value}, expected a finite number")]
    NotFinite {
        /// Index of the target token.
        row: usize,
        /// Index of the source token.
        column: usize,
        /// The offending value.
        value: f32,
    },
    /// The font given with `--font` cannot be used.
    #[error(
        "font {path}: {reason}\nhelp: --font takes a TrueType or OpenType file; `fc-list` names those of the system"
    )]
    Font {
        /// The file as it was named.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The drawing layer refused; the text is its own.
    #[error("drawing the figure failed: {0}")]
    Backend(String),
}

/// The result of drawing.
pub type Result<T> = std::result::Result<T, Error>;
