//! The picture of a run in a terminal: what its log says, laid out for 80 columns or more.
//!
//! The same widget is the live dashboard and, printed as text, the answer of `watch --once`.

mod news;

use std::time::SystemTime;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline, Widget};
use seqweave_train::run_log::RunLog;
use seqweave_train::{Sample, StepReport, Validation};

pub use news::State;
use news::eta;

use crate::progress::{duration, grouped};

/// Rows of the loss curve.
const CURVE: u16 = 3;
/// Columns of a measure.
const CELL: usize = 11;
/// Rows of a picture that is printed: as many as it can use.
const PRINTED_ROWS: u16 = 48;

/// A run as it is now.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Name of the run.
    pub name: &'a str,
    /// What its log says.
    pub log: &'a RunLog,
    /// What time it is.
    pub now: SystemTime,
    /// Whether colours are wanted.
    pub colour: bool,
    /// What is said in the last row.
    pub footer: &'a str,
}

impl View<'_> {
    /// The picture as lines of text of at most `width` columns, without blanks at the ends.
    pub fn text(&self, width: u16) -> String {
        let area = Rect::new(0, 0, width, PRINTED_ROWS);
        let mut buffer = Buffer::empty(area);
        self.render(area, &mut buffer);
        let mut lines: Vec<String> = (0..area.height).map(|y| row(&buffer, y)).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines.into_iter().map(|line| line + "\n").collect()
    }

    fn style(&self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// The name, and how the run is doing.
    fn head(&self) -> Line<'static> {
        let state = State::of(self.log, self.now);
        let colour = match state {
            State::Running => Color::Green,
            State::Ended(_) => Color::Cyan,
            State::Waiting | State::Silent(_) => Color::Yellow,
            State::Diverged => Color::Red,
        };
        let name = Span::styled(clean(self.name), Style::new().add_modifier(Modifier::BOLD));
        Line::from(vec![name, Span::raw("  "), Span::styled(state.to_string(), self.style(colour))])
    }

    /// Step, epoch, time; speed, learning rate, gradient.
    fn facts(&self) -> Vec<Line<'static>> {
        let Some(report) = self.log.steps.last() else { return Vec::new() };
        let StepReport { total, epoch, acc, ppl, lr, grad_norm, src_tok_s, tgt_tok_s, .. } = report;
        let of = match *total {
            u64::MAX => String::new(),
            total => format!(" of {}", grouped(total as usize)),
        };
        let mut first = vec![
            format!("step {}{of}", grouped(self.log.step() as usize)),
            format!("epoch {epoch}"),
            format!("trained {}", duration(self.log.seconds)),
        ];
        if self.log.outcome.is_none() {
            first.extend(eta(&self.log.steps).map(|left| format!("{} left", duration(left))));
        }
        let second = [
            format!("acc {acc:.2} %"),
            format!("ppl {ppl:.2}"),
            format!("lr {lr:.6}"),
            format!("grad {grad_norm:.3}"),
            format!("{}/{} tok/s", grouped(src_tok_s.round() as usize), grouped(tgt_tok_s.round() as usize)),
        ];
        vec![Line::raw(first.join("   ")), Line::raw(second.join("   "))]
    }

    /// The last validations, one row each, the best one marked; of the measures as many as there is room for, the one that
    /// decides first.
    fn validations(&self, rows: usize, width: usize) -> Vec<Line<'static>> {
        let Some(last) = self.log.validations.last() else { return Vec::new() };
        let (deciding, others): (Vec<&str>, Vec<&str>) =
            last.scores.iter().map(|(name, _)| name.as_str()).partition(|name| *name == last.best_by);
        let mut names = [deciding, others].concat();
        let left_out = names.split_off(names.len().min((width / CELL).saturating_sub(1).max(1)));
        let cell = |text: &str| format!("{:>CELL$}", clean(text));
        let dim = Style::new().add_modifier(Modifier::DIM);
        let head = names.iter().map(|name| cell(name)).collect::<String>();
        let mut lines = vec![Line::styled(format!("validation {head}"), dim)];
        let rows = rows.saturating_sub(1 + usize::from(!left_out.is_empty()));
        let best = self.log.best().map(|best| best.step);
        let from = self.log.validations.len().saturating_sub(rows);
        let shown = &self.log.validations[from..];
        // The best one is always there, in the first row if it is older than those shown.
        let older = self.log.best().filter(|best| shown.first().is_some_and(|first| best.step < first.step));
        for validation in older.into_iter().chain(shown.iter().skip(usize::from(older.is_some()))) {
            let Validation { step, scores, .. } = validation;
            let is_best = best == Some(*step);
            let mut line = format!("{}{:>9} ", if is_best { '*' } else { ' ' }, grouped(*step as usize));
            for name in &names {
                let value = scores.iter().find(|(found, _)| found == name);
                line.push_str(&value.map_or_else(|| cell(""), |(_, value)| cell(&format!("{value:.3}"))));
            }
            let said = format!("  best {}", clean(&validation.best_by));
            if is_best && line.len() + said.len() <= width {
                line.push_str(&said);
            }
            lines.push(Line::styled(line, if is_best { self.style(Color::Green) } else { Style::new() }));
        }
        if !left_out.is_empty() {
            let names = clean(&left_out.join(", "));
            lines.push(Line::styled(format!("no room for {names}"), dim));
        }
        lines
    }

    /// What became of a few sentences at the last validation.
    fn samples(&self, rows: usize) -> Vec<Line<'static>> {
        let with_samples = self.log.validations.iter().rfind(|validation| !validation.samples.is_empty());
        let Some(Validation { step, samples, .. }) = with_samples else { return Vec::new() };
        let dim = Style::new().add_modifier(Modifier::DIM);
        let mut lines = vec![Line::styled(format!("outputs at step {}", grouped(*step as usize)), dim)];
        for Sample { source, reference, hypothesis } in samples {
            let is_right = hypothesis == reference;
            let (mark, colour) = if is_right { ("=", Color::Green) } else { ("x", Color::Red) };
            let mark = Span::styled(mark, self.style(colour));
            let output = format!(" {}  →  {}", clean(source), clean(hypothesis));
            let mut of_one = vec![Line::from(vec![mark, Span::raw(output)])];
            if !is_right {
                of_one.push(Line::styled(format!("  reference  {}", clean(reference)), dim));
            }
            if lines.len() + of_one.len() > rows {
                break;
            }
            lines.extend(of_one);
        }
        lines
    }

    fn warnings(&self) -> Vec<Line<'static>> {
        let skipped = match self.log.skipped.len() {
            0 => None,
            n => Some(format!("{n} steps left out: a number was not finite")),
        };
        let last = self.log.warnings.last().map(|warning| clean(warning.lines().next().unwrap_or_default()));
        let line = |text: String| Line::styled(format!("! {text}"), self.style(Color::Yellow));
        skipped.into_iter().chain(last).map(line).collect()
    }

    /// How much of the way is done: a line from edge to edge, and the share behind it.
    fn progress(&self, total: u64, width: usize) -> Line<'static> {
        // Rounded down, in whole numbers: all of it is said when it is done.
        let of = |whole: usize| {
            let (step, total) = (u128::from(self.log.step()), u128::from(total.max(1)));
            (whole as u128 * step / total).min(whole as u128) as usize
        };
        let percent = format!(" {:>3} %", of(100));
        let room = width.saturating_sub(percent.len());
        let done = of(room);
        let dim = Style::new().add_modifier(Modifier::DIM);
        Line::from(vec![
            Span::styled("━".repeat(done), self.style(Color::Blue)),
            Span::styled("┄".repeat(room - done), dim),
            Span::raw(percent),
        ])
    }

    fn curve(&self, area: Rect, buffer: &mut Buffer) {
        let losses: Vec<f64> =
            self.log.steps.iter().map(|report| report.xent).filter(|x| x.is_finite()).collect();
        let (Some(first), Some(last)) = (losses.first(), losses.last()) else { return };
        let low = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let high = losses.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let dim = Style::new().add_modifier(Modifier::DIM);
        let title = format!("loss {last:.3}   first {first:.3}, least {low:.3}");
        let mut rows = Rows { left: area };
        Line::styled(title, dim).render(rows.take(1), buffer);
        let area = rows.left;
        // A row has eight heights. The least value gets the first of them, so that no column is empty.
        let most = 8 * u64::from(area.height);
        let height = |x: f64| 1 + ((most as f64 - 1.0) * (x - low) / (high - low).max(1e-12)).round() as u64;
        let heights: Vec<u64> = resampled(&losses, usize::from(area.width)).into_iter().map(height).collect();
        Sparkline::default().data(heights).max(most).style(self.style(Color::Blue)).render(area, buffer);
    }
}

impl Widget for &View<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let mut rows = Rows { left: area };
        if !self.footer.is_empty() && area.height > 2 {
            let last = Rect { y: area.bottom() - 1, height: 1, ..area };
            let dim = Style::new().add_modifier(Modifier::DIM);
            Line::styled(clean(self.footer), dim).render(last, buffer);
            rows.left.height -= 2;
        }
        self.head().render(rows.take(1), buffer);
        if let Some(report) = self.log.steps.last() {
            rows.take(1);
            if report.total != u64::MAX {
                self.progress(report.total, usize::from(area.width)).render(rows.take(1), buffer);
            }
            Paragraph::new(self.facts()).render(rows.take(2), buffer);
            rows.take(1);
            self.curve(rows.take(CURVE + 1), buffer);
        }
        // What is left is shared: warnings first, then validations, then outputs.
        let warnings = self.warnings();
        let blanks = 2 + usize::from(!warnings.is_empty());
        let room = usize::from(rows.left.height).saturating_sub(warnings.len() + blanks);
        let width = usize::from(area.width);
        let validations = self.validations((room * 3 / 5).max(3), width);
        let samples = self.samples(room.saturating_sub(validations.len()));
        // An output needs two rows; the one that is left over goes to the validations.
        let validations = self.validations(room.saturating_sub(samples.len()).max(3), width);
        for lines in [validations, samples, warnings] {
            if !lines.is_empty() {
                rows.take(1);
                let height = lines.len() as u16;
                Paragraph::new(lines).render(rows.take(height), buffer);
            }
        }
    }
}

/// Rows of an area, given away from the top; when there are no more, nothing is drawn.
struct Rows {
    left: Rect,
}

impl Rows {
    fn take(&mut self, height: u16) -> Rect {
        let height = height.min(self.left.height);
        let taken = Rect { height, ..self.left };
        self.left = Rect { y: self.left.y + height, height: self.left.height - height, ..self.left };
        taken
    }
}

/// A text that leaves the terminal alone: control characters become their pictures.
fn clean(text: &str) -> String {
    let picture = |c: char| match c {
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + c as u32).unwrap_or(' '),
        '\u{7f}' => '␡',
        // The second set of control characters, and those that turn the direction of what follows.
        '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    };
    text.chars().map(picture).collect()
}

/// The course of some values in so many columns: each shows the mean of those that fall into it, or the one it falls into.
fn resampled(values: &[f64], columns: usize) -> Vec<f64> {
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let column = |i: usize| {
        let (from, to) = (i * values.len() / columns, (i + 1) * values.len() / columns);
        mean(&values[from..to.max(from + 1)])
    };
    let columns = if values.is_empty() { 0 } else { columns };
    (0..columns).map(column).collect()
}

/// A row of a buffer; a sign of two columns fills two cells.
fn row(buffer: &Buffer, y: u16) -> String {
    let (mut text, mut x) = (String::new(), 0);
    while x < buffer.area.width {
        let symbol = buffer[(x, y)].symbol();
        text.push_str(symbol);
        x += (Span::raw(symbol).width() as u16).max(1);
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests;
