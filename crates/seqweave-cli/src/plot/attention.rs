//! Attention heat map: how much each target token looked at each source token.

use seqweave::Translation;

use super::canvas::{Align, Canvas, FRAME, INK, MUTED, Type, draw, ems, printable, shorten};
use super::shade::{shade, wants_light_text};
use super::{Error, Result, ticks};

/// Attention weights of one sentence pair.
///
/// ```
/// use seqweave_cli::plot::AttentionMap;
/// let map = AttentionMap {
///     source: vec!["a".into(), "b".into()],
///     target: vec!["b".into(), "a".into()],
///     weights: vec![vec![0.1, 0.9], vec![0.8, 0.2]],
///     title: "reverse".into(),
/// };
/// assert!(map.to_svg()?.starts_with("<svg"));
/// # Ok::<(), seqweave_cli::plot::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionMap {
    /// Source tokens, drawn along the top.
    pub source: Vec<String>,
    /// Target tokens, drawn down the left side.
    pub target: Vec<String>,
    /// One row for each target token, one weight in [0, 1] for each source token.
    pub weights: Vec<Vec<f32>>,
    /// Headline; may be empty.
    pub title: String,
}

/// The greatest number of tokens on a side.
const MAX_TOKENS: usize = 1000;
/// A label longer than this many ems ends in an ellipsis.
const LABEL_EMS: f64 = 14.0;
const MARGIN: f64 = 18.0;
const BAR_WIDTH: f64 = 12.0;
const BAR_GAP: f64 = 20.0;

impl AttentionMap {
    /// The map of the best output for a text, end marks included; `None` if the text has no tokens or the model no
    /// attention. Without a title, the text and its output are one.
    pub fn of(text: &str, translation: &Translation, title: Option<&str>) -> Option<AttentionMap> {
        let best = translation.best()?;
        if best.attention.iter().all(Vec::is_empty) {
            return None;
        }
        let end_marked = |tokens: &[String]| tokens.iter().cloned().chain(["</s>".to_owned()]).collect();
        Some(AttentionMap {
            title: title.map_or_else(|| format!("{text} → {}", best.text), str::to_owned),
            source: end_marked(&translation.source_tokens),
            target: end_marked(&best.tokens),
            weights: best.attention.clone(),
        })
    }

    /// Draws the map; cell and figure size follow from the number of tokens.
    ///
    /// # Errors
    /// [`Error::Empty`] without tokens, [`Error::RowCount`], [`Error::RowLength`] or [`Error::NotFinite`] when the
    /// weights do not fit, [`Error::TooLarge`] above 1,000 tokens a side.
    pub fn to_svg(&self) -> Result<String> {
        self.check()?;
        let layout = Layout::of(self);
        draw(layout.width, layout.height, &self.title, |canvas| {
            self.draw_title(canvas, &layout)?;
            self.draw_source(canvas, &layout)?;
            self.draw_target(canvas, &layout)?;
            self.draw_cells(canvas, &layout)?;
            draw_bar(canvas, &layout)
        })
    }

    fn check(&self) -> Result<()> {
        for (what, tokens) in [("source tokens", &self.source), ("target tokens", &self.target)] {
            if tokens.is_empty() {
                return Err(Error::Empty { what });
            }
            if tokens.len() > MAX_TOKENS {
                return Err(Error::TooLarge { what, limit: MAX_TOKENS, found: tokens.len() });
            }
        }
        if self.weights.len() != self.target.len() {
            return Err(Error::RowCount { expected: self.target.len(), found: self.weights.len() });
        }
        for (row, weights) in self.weights.iter().enumerate() {
            if weights.len() != self.source.len() {
                return Err(Error::RowLength { row, expected: self.source.len(), found: weights.len() });
            }
            if let Some(column) = weights.iter().position(|w| !w.is_finite()) {
                return Err(Error::NotFinite { row, column, value: weights[column] });
            }
        }
        Ok(())
    }

    fn draw_title(&self, canvas: &Canvas<'_>, layout: &Layout) -> Result<()> {
        if self.title.is_empty() {
            return Ok(());
        }
        let title = shorten(&printable(&self.title), (layout.width - 2.0 * MARGIN) / TITLE_SIZE);
        canvas.text(MARGIN, MARGIN + 8.0, Align::Left, Type::new(TITLE_SIZE, INK).bold(), &title)
    }

    fn draw_source(&self, canvas: &Canvas<'_>, layout: &Layout) -> Result<()> {
        let style = Type::new(layout.font, INK);
        for (i, label) in labels(&self.source).into_iter().enumerate() {
            if i % layout.label_every != 0 {
                continue;
            }
            let x = layout.left + (i as f64 + 0.5) * layout.cell;
            if layout.upright {
                canvas.text(x, layout.top - 0.5 * layout.font - 5.0, Align::Centre, style, &label)?;
            } else {
                canvas.text_up(x, layout.top - 6.0, Align::Left, style, &label)?;
            }
        }
        Ok(())
    }

    fn draw_target(&self, canvas: &Canvas<'_>, layout: &Layout) -> Result<()> {
        let style = Type::new(layout.font, INK);
        for (i, label) in labels(&self.target).into_iter().enumerate() {
            if i % layout.label_every == 0 {
                let y = layout.top + (i as f64 + 0.5) * layout.cell;
                canvas.text(layout.left - 7.0, y, Align::Right, style, &label)?;
            }
        }
        Ok(())
    }

    fn draw_cells(&self, canvas: &Canvas<'_>, layout: &Layout) -> Result<()> {
        let (grid_width, grid_height) = (layout.grid_width(self), layout.grid_height(self));
        canvas.rect(layout.left, layout.top, grid_width, grid_height, shade(0.0))?;
        for (row, weights) in self.weights.iter().enumerate() {
            let y = layout.top + row as f64 * layout.cell;
            for (column, weight) in weights.iter().enumerate() {
                let x = layout.left + column as f64 * layout.cell;
                let level = f64::from(*weight) / layout.full_scale;
                // The ground already has the shade of zero; skipping such cells keeps large figures small.
                if level > 0.002 {
                    canvas.rect(x, y, layout.cell, layout.cell, shade(level))?;
                }
                if layout.numbers && *weight >= 0.005 {
                    let ink = if wants_light_text(level) { plotters::style::WHITE } else { FAINT_INK };
                    let text = format!("{weight:.2}");
                    let text = text.strip_prefix('0').unwrap_or(&text);
                    let middle = layout.cell / 2.0;
                    canvas.text(x + middle, y + middle, Align::Centre, Type::new(10.5, ink), text)?;
                }
            }
        }
        if layout.cell >= 9.0 {
            let white = plotters::style::WHITE;
            for column in 1..self.source.len() {
                let x = layout.left + column as f64 * layout.cell;
                canvas.path(&[(x, layout.top), (x, layout.top + grid_height)], layout.gap, white, 1.0)?;
            }
            for row in 1..self.target.len() {
                let y = layout.top + row as f64 * layout.cell;
                canvas.path(&[(layout.left, y), (layout.left + grid_width, y)], layout.gap, white, 1.0)?;
            }
        }
        canvas.frame(layout.left, layout.top, grid_width, grid_height, FRAME)
    }
}

const TITLE_SIZE: f64 = 15.0;
/// Numbers on pale cells: darker than captions, since the cells are tinted.
const FAINT_INK: plotters::style::RGBColor = plotters::style::RGBColor(0x2b, 0x34, 0x3e);

/// Where everything goes, in pixels.
struct Layout {
    width: f64,
    height: f64,
    /// Left and top edge of the grid.
    left: f64,
    top: f64,
    cell: f64,
    /// White line between cells.
    gap: f64,
    /// Size of the token labels.
    font: f64,
    /// Source labels stand upright above their column; otherwise they read upwards.
    upright: bool,
    /// Every n-th token is labelled.
    label_every: usize,
    /// Weights are also written into the cells.
    numbers: bool,
    /// The weight drawn darkest.
    full_scale: f64,
    bar_left: f64,
    bar_height: f64,
}

impl Layout {
    fn of(map: &AttentionMap) -> Self {
        let (columns, rows) = (map.source.len(), map.target.len());
        let longest_side = columns.max(rows) as f64;
        let cell = (620.0 / longest_side).clamp(4.0, 38.0);
        let font = (cell * 0.82).clamp(8.0, 13.0);
        let label_every = (font * 1.05 / cell).ceil().max(1.0) as usize;
        let widest = |tokens: &[String]| labels(tokens).iter().map(|l| ems(l)).fold(0.0, f64::max) * font;
        let (source_width, target_width) = (widest(&map.source), widest(&map.target));
        let upright = source_width <= cell * label_every as f64 - 6.0;

        let title_height = if map.title.is_empty() { 0.0 } else { 30.0 };
        let left = MARGIN + target_width + 7.0;
        let top = MARGIN + title_height + if upright { font + 6.0 } else { source_width + 8.0 };
        let (grid_width, grid_height) = (columns as f64 * cell, rows as f64 * cell);
        let bar_height = grid_height.clamp(76.0, 220.0);
        let bar_left = left + grid_width + BAR_GAP;
        let title_width = ems(&map.title).min(48.0) * TITLE_SIZE * 1.08;
        Self {
            width: (bar_left + BAR_WIDTH + 34.0).max(title_width + MARGIN) + MARGIN,
            height: top + grid_height.max(bar_height) + MARGIN,
            left,
            top,
            cell,
            gap: if cell >= 18.0 { 1.0 } else { 0.5 },
            font,
            upright,
            label_every,
            numbers: cell >= 32.0,
            full_scale: full_scale(&map.weights),
            bar_left,
            bar_height,
        }
    }

    fn grid_width(&self, map: &AttentionMap) -> f64 {
        self.cell * map.source.len() as f64
    }

    fn grid_height(&self, map: &AttentionMap) -> f64 {
        self.cell * map.target.len() as f64
    }
}

/// The colour bar with its numbers.
fn draw_bar(canvas: &Canvas<'_>, layout: &Layout) -> Result<()> {
    let (x, top, height) = (layout.bar_left, layout.top, layout.bar_height);
    let steps = 64;
    let step = height / f64::from(steps);
    for i in 0..steps {
        // Each band reaches half a pixel under the next one, so that no seam shows.
        let y = top + f64::from(i) * step;
        let band = if i + 1 < steps { step + 0.5 } else { step };
        let level = 1.0 - (f64::from(i) + 0.5) / f64::from(steps);
        canvas.rect(x, y, BAR_WIDTH, band, shade(level))?;
    }
    canvas.frame(x, top, BAR_WIDTH, height, FRAME)?;
    for tick in ticks::linear(0.0, layout.full_scale, if height > 120.0 { 5 } else { 2 }) {
        let y = top + height * (1.0 - tick.at / layout.full_scale);
        canvas.path(&[(x + BAR_WIDTH, y), (x + BAR_WIDTH + 3.0, y)], 1.0, FRAME, 1.0)?;
        canvas.text(x + BAR_WIDTH + 7.0, y, Align::Left, Type::new(10.5, MUTED), &tick.label)?;
    }
    Ok(())
}

/// The weight drawn darkest: 1, unless all weights are so small that the map would be a pale sheet.
fn full_scale(weights: &[Vec<f32>]) -> f64 {
    let greatest = weights.iter().flatten().fold(0.0f32, |a, b| a.max(*b));
    match greatest {
        w if w > 0.5 || w <= 0.0 => 1.0,
        w if w > 0.2 => 0.5,
        w if w > 0.1 => 0.2,
        _ => 0.1,
    }
}

/// Tokens as they are written beside the grid. The mark of a piece that begins a word is a heavy block in most fonts, as wide
/// as a letter, so a low line stands for it.
fn labels(tokens: &[String]) -> Vec<String> {
    let label = |token: &String| shorten(&printable(token).replace('▁', "_"), LABEL_EMS);
    tokens.iter().map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(source: &[&str], target: &[&str]) -> AttentionMap {
        let (columns, rows) = (source.len(), target.len());
        AttentionMap {
            source: source.iter().map(|s| (*s).to_owned()).collect(),
            target: target.iter().map(|s| (*s).to_owned()).collect(),
            weights: (0..rows)
                .map(|r| (0..columns).map(|c| if r == c { 0.8 } else { 0.1 }).collect())
                .collect(),
            title: "a <b>".to_owned(),
        }
    }

    #[test]
    fn every_token_and_cell_is_there_and_escaped() {
        let svg = map(&["a&b", "<unk>", "\""], &["x", "y"]).to_svg().unwrap();
        for text in ["a&amp;b", "&lt;unk&gt;", "&quot;", "a &lt;b&gt;"] {
            assert!(svg.contains(text), "{text} is missing");
        }
        // Ground, sheet, 6 cells, and 64 bands of the colour bar.
        assert_eq!(svg.matches("<rect").count(), 2 + 6 + 64);
        assert_eq!(svg, map(&["a&b", "<unk>", "\""], &["x", "y"]).to_svg().unwrap(), "not a pure function");
    }

    #[test]
    fn short_labels_stand_upright_and_long_ones_turn() {
        let turned = |source: &[&str]| map(source, &["y"]).to_svg().unwrap().contains("rotate(270");
        assert!(!turned(&["d", "b", "a"]));
        assert!(turned(&["internationalisation", "b"]));
        let svg = map(&["▁get", "▁"], &["y"]).to_svg().unwrap();
        assert!(svg.contains("_get") && !svg.contains('▁'), "the mark of a word's beginning is a low line");
    }

    #[test]
    fn wrong_weights_are_refused() {
        let mut bad = map(&["a", "b"], &["x", "y"]);
        bad.weights[1].pop();
        assert_eq!(
            bad.to_svg().unwrap_err().to_string(),
            "attention weights: row 1 has 1 values, expected 2 (one for each source token)"
        );
        bad.weights.pop();
        assert!(matches!(bad.to_svg(), Err(Error::RowCount { expected: 2, found: 1 })));
        let mut nan = map(&["a", "b"], &["x"]);
        nan.weights[0][1] = f32::NAN;
        assert!(matches!(nan.to_svg(), Err(Error::NotFinite { row: 0, column: 1, .. })));
        assert!(matches!(map(&[], &["x"]).to_svg(), Err(Error::Empty { what: "source tokens" })));
        let many = vec!["t"; 1001];
        assert!(matches!(map(&many, &["x"]).to_svg(), Err(Error::TooLarge { limit: 1000, .. })));
    }

    #[test]
    fn pale_maps_get_a_finer_scale() {
        for (greatest, scale) in [(0.9, 1.0), (0.3, 0.5), (0.15, 0.2), (0.04, 0.1), (0.0, 1.0)] {
            assert_eq!(full_scale(&[vec![greatest, 0.0]]), scale);
        }
    }
}
