//! Training curves: panels stacked over one common horizontal axis.

use super::canvas::{Align, Canvas, FRAME, GRID, INK, MUTED, Type, draw, ems, printable, shorten};
use super::shade::palette;
use super::{Error, Result, ticks};

/// A figure of one or more panels that share their horizontal axis.
///
/// ```
/// use seqweave_cli::plot::{Best, Curves, Panel, Scale, Series};
/// let valid = Series { name: "valid".into(), colour: 1, faint: false, points: vec![(0.0, 3.2), (100.0, 1.1)] };
/// let loss = Panel { label: "loss".into(), scale: Scale::Auto, best: Some(Best::Lowest), series: vec![valid] };
/// let svg = Curves { title: "run".into(), x_label: "step".into(), width: Curves::PAGE, panels: vec![loss] }.to_svg()?;
/// assert!(svg.contains("valid"));
/// # Ok::<(), seqweave_cli::plot::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// Headline; may be empty.
    pub title: String,
    /// Name of the common horizontal axis.
    pub x_label: String,
    /// In pixels, at least 300.
    pub width: f64,
    /// From top to bottom.
    pub panels: Vec<Panel>,
}

/// One panel.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What the vertical axis measures.
    pub label: String,
    /// How values become heights.
    pub scale: Scale,
    /// Which point of each curve that is not faint gets a mark.
    pub best: Option<Best>,
    /// The curves; later ones are drawn over earlier ones.
    pub series: Vec<Series>,
}

/// One curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name in the legend; empty where the panel's label says it all.
    pub name: String,
    /// Place in the palette, so that a run keeps its colour in every panel.
    pub colour: usize,
    /// Drawn pale and thin, for what is only context (the training loss behind the validation loss).
    pub faint: bool,
    /// (x, y); points that are not finite interrupt the line.
    pub points: Vec<(f64, f64)>,
}

/// How values become heights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Proportional.
    Linear,
    /// By logarithm; values that are not positive are left out.
    Log,
    /// [`Scale::Log`] when all values are positive and the greatest is more than eight times the least.
    Auto,
}

/// Which end of the scale is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Best {
    /// Error rates and losses.
    Lowest,
    /// Accuracies.
    Highest,
}

const MARGIN: f64 = 20.0;
/// Room for the numbers left of a panel, and right of it for half a number of the horizontal axis.
const LEFT: f64 = 78.0;
const RIGHT: f64 = 26.0;
const PANEL_HEIGHT: f64 = 186.0;
/// Panel label and first row of the legend above each panel, and each further row.
const HEAD: f64 = 34.0;
const LEGEND_ROW: f64 = 17.0;
/// Line sample and gaps of a legend entry, without its name.
const ENTRY: f64 = 44.0;
const PANEL_GAP: f64 = 14.0;
const FOOT: f64 = 46.0;
/// Up to this many points a curve also shows them.
const FEW_POINTS: usize = 30;

impl Curves {
    /// The width of a figure that has a page for itself.
    pub const PAGE: f64 = 860.0;

    /// Draws the figure.
    ///
    /// # Errors
    /// [`Error::Empty`] without panels, [`Error::TooLarge`] above 12 panels.
    pub fn to_svg(&self) -> Result<String> {
        if self.panels.is_empty() {
            return Err(Error::Empty { what: "the list of panels" });
        }
        if self.panels.len() > 12 {
            return Err(Error::TooLarge { what: "panels", limit: 12, found: self.panels.len() });
        }
        let title_height = if self.title.is_empty() { 0.0 } else { 28.0 };
        let heads: f64 = self.panels.iter().map(|panel| panel.head_height(self.width)).sum();
        let count = self.panels.len() as f64;
        let height = MARGIN + title_height + heads + PANEL_HEIGHT * count + PANEL_GAP * (count - 1.0) + FOOT;
        let (x_low, x_high) = self.x_range();
        draw(self.width, height, &self.title, |canvas| {
            let title = shorten(&printable(&self.title), (self.width - 2.0 * MARGIN) / 16.0);
            if !title.is_empty() {
                canvas.text(MARGIN, MARGIN + 6.0, Align::Left, Type::new(16.0, INK).bold(), &title)?;
            }
            let mut top = MARGIN + title_height;
            for (i, panel) in self.panels.iter().enumerate() {
                top += panel.head_height(self.width);
                let last = i + 1 == self.panels.len();
                let frame = Frame::of(panel, (self.width, top), (x_low, x_high));
                frame.draw_grid(canvas, last.then_some(self.x_label.as_str()))?;
                panel.draw_head(canvas, &frame)?;
                panel.draw_series(canvas, &frame)?;
                top += PANEL_HEIGHT + PANEL_GAP;
            }
            Ok(())
        })
    }

    /// From the least to the greatest x of any panel.
    fn x_range(&self) -> (f64, f64) {
        let xs = self.panels.iter().flat_map(|p| &p.series).flat_map(|s| &s.points).map(|p| p.0);
        let (low, high) = range(xs).unwrap_or((0.0, 1.0));
        // Training starts at zero; the axis says so unless the figure looks at a late stretch only.
        let low = if low > 0.0 && low < 0.5 * high { 0.0 } else { low };
        if high > low { (low, high) } else { (low - 0.5, high + 0.5) }
    }
}

impl Panel {
    fn is_log(&self) -> bool {
        let values = || self.series.iter().flat_map(|s| &s.points).map(|p| p.1).filter(|y| y.is_finite());
        match self.scale {
            Scale::Linear => false,
            Scale::Log => values().any(|y| y > 0.0),
            Scale::Auto => range(values()).is_some_and(|(low, high)| low > 0.0 && high > 8.0 * low),
        }
    }

    /// The label as it is written, with a word on an unusual scale.
    fn heading(&self) -> String {
        let label = printable(&self.label);
        if self.is_log() { format!("{label} · log scale") } else { label }
    }

    /// The legend in rows: beside the heading if it fits there, else below it.
    fn legend(&self, width: f64) -> Legend<'_> {
        let room = width - LEFT - RIGHT;
        let named = || self.series.iter().filter(|series| !series.name.is_empty());
        let total: f64 = named().map(Series::entry_width).sum();
        if total <= room - ems(&self.heading()) * 13.0 - 24.0 {
            return Legend { beside: true, rows: vec![named().collect()] };
        }
        let mut rows: Vec<Vec<&Series>> = vec![Vec::new()];
        let mut used = 0.0;
        for series in named() {
            if used + series.entry_width() > room {
                rows.push(Vec::new());
                used = 0.0;
            }
            used += series.entry_width();
            rows.last_mut().expect("never empty").push(series);
        }
        Legend { beside: false, rows }
    }

    fn head_height(&self, width: f64) -> f64 {
        let legend = self.legend(width);
        HEAD + if legend.beside { 0.0 } else { LEGEND_ROW * legend.rows.len() as f64 }
    }

    /// Heading at the left, legend at the right of it or below.
    fn draw_head(&self, canvas: &Canvas<'_>, frame: &Frame) -> Result<()> {
        let legend = self.legend(frame.width);
        let extra = if legend.beside { 0.0 } else { LEGEND_ROW * legend.rows.len() as f64 };
        let mut y = frame.top - 13.0 - extra;
        canvas.text(LEFT, y, Align::Left, Type::new(13.0, INK).bold(), &self.heading())?;
        for row in &legend.rows {
            let mut x = LEFT;
            if legend.beside {
                // The gap after the last name is not needed at the right edge.
                x = frame.width - RIGHT - row.iter().map(|s| s.entry_width()).sum::<f64>() + 16.0;
            } else {
                y += LEGEND_ROW;
            }
            for series in row {
                series.draw_line(canvas, &[(x, y), (x + 20.0, y)])?;
                if series.shows_points() {
                    canvas.dot(x + 10.0, y, 2.6, palette(series.colour))?;
                }
                let style = Type::new(LEGEND_SIZE, INK);
                canvas.text(x + 26.0, y, Align::Left, style, &series.legend_name())?;
                x += series.entry_width();
            }
        }
        Ok(())
    }

    fn draw_series(&self, canvas: &Canvas<'_>, frame: &Frame) -> Result<()> {
        if self.series.iter().all(|s| s.points.is_empty()) {
            let (x, y) = ((LEFT + frame.width - RIGHT) / 2.0, frame.top + PANEL_HEIGHT / 2.0);
            return canvas.text(x, y, Align::Centre, Type::new(12.0, MUTED), "no values yet");
        }
        for series in &self.series {
            for stretch in series.stretches(frame) {
                if stretch.len() > 1 {
                    series.draw_line(canvas, &stretch)?;
                }
                if stretch.len() == 1 || series.shows_points() {
                    for &(x, y) in &stretch {
                        canvas.dot(x, y, 2.6, palette(series.colour))?;
                    }
                }
            }
        }
        if let Some(best) = self.best {
            let marked: Vec<&Series> = self.series.iter().filter(|s| !s.faint).collect();
            let heights: Vec<f64> =
                marked.iter().filter_map(|s| frame.place(s.best(best)?)).map(|(_, y)| y).collect();
            // Two labels are readable where they cannot touch; more would fill the panel.
            let label = match heights[..] {
                [_] => true,
                [a, b] => (a - b).abs() > 40.0,
                _ => false,
            };
            for series in marked {
                series.mark_best(canvas, frame, best, label)?;
            }
        }
        Ok(())
    }
}

/// Entries of a panel's legend.
struct Legend<'a> {
    /// On the line of the heading.
    beside: bool,
    rows: Vec<Vec<&'a Series>>,
}

const LEGEND_SIZE: f64 = 11.5;

impl Series {
    fn legend_name(&self) -> String {
        shorten(&printable(&self.name), 22.0)
    }

    fn entry_width(&self) -> f64 {
        ems(&self.legend_name()) * LEGEND_SIZE + ENTRY
    }

    fn shows_points(&self) -> bool {
        !self.faint && self.points.len() <= FEW_POINTS
    }

    fn draw_line(&self, canvas: &Canvas<'_>, points: &[(f64, f64)]) -> Result<()> {
        let (width, opacity) = if self.faint { (1.4, 0.45) } else { (1.8, 1.0) };
        canvas.path(points, width, palette(self.colour), opacity)
    }

    /// The curve in pixels, cut where a value cannot be drawn.
    fn stretches(&self, frame: &Frame) -> Vec<Vec<(f64, f64)>> {
        let mut stretches = vec![Vec::new()];
        for point in &self.points {
            match frame.place(*point) {
                Some(place) => stretches.last_mut().expect("never empty").push(place),
                None => stretches.push(Vec::new()),
            }
        }
        stretches.retain(|stretch| !stretch.is_empty());
        stretches
    }

    /// The first of the best points, as training code keeps the first best checkpoint.
    fn best(&self, best: Best) -> Option<(f64, f64)> {
        let better = |a: f64, b: f64| match best {
            Best::Lowest => a < b,
            Best::Highest => a > b,
        };
        let finite = self.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite());
        finite.reduce(|so_far, point| if better(point.1, so_far.1) { point } else { so_far })
    }

    fn mark_best(&self, canvas: &Canvas<'_>, frame: &Frame, best: Best, label: bool) -> Result<()> {
        let Some(point) = self.best(best) else { return Ok(()) };
        let Some((x, y)) = frame.place(point) else { return Ok(()) };
        canvas.dot(x, y, 6.5, plotters::style::WHITE)?;
        canvas.dot(x, y, 5.0, palette(self.colour))?;
        canvas.dot(x, y, 2.2, plotters::style::WHITE)?;
        if !label {
            return Ok(());
        }
        let text = format!("best {} at {}", ticks::number(point.1), ticks::number(point.0));
        let style = Type::new(11.0, palette(self.colour)).bold();
        let half = ems(&text) * style.size * 0.55;
        let x = x.clamp(LEFT + half + 4.0, frame.width - RIGHT - half - 4.0);
        // The curve comes from the bad side, so the good side of the mark is free, unless the frame is there.
        let below = frame.top + PANEL_HEIGHT - y > 26.0;
        let above = y - frame.top > 26.0;
        let y = match best {
            Best::Lowest if below => y + 15.0,
            Best::Highest if !above => y + 15.0,
            _ => y - 15.0,
        };
        canvas.text(x, y, Align::Centre, style, &text)
    }
}

/// One panel's axes: data to pixels.
struct Frame {
    width: f64,
    top: f64,
    log: bool,
    /// No value is below zero, so no number on the axis is either.
    never_negative: bool,
    x: (f64, f64),
    /// In data units, or their logarithms to base 10.
    y: (f64, f64),
}

impl Frame {
    fn of(panel: &Panel, (width, top): (f64, f64), x: (f64, f64)) -> Self {
        let log = panel.is_log();
        let ys = panel.series.iter().flat_map(|s| &s.points).map(|p| p.1);
        let ys = ys.filter(|y| y.is_finite() && (!log || *y > 0.0));
        let (low, high) = range(ys.map(|y| if log { y.log10() } else { y })).unwrap_or((0.0, 1.0));
        let pad = if high > low { 0.07 * (high - low) } else { (0.1 * high.abs()).max(1e-6) };
        // Room for the label of a best point that lies on the good edge.
        let (pad_low, pad_high) = match panel.best {
            Some(Best::Lowest) => (2.6 * pad, pad),
            Some(Best::Highest) => (pad, 2.6 * pad),
            None => (pad, pad),
        };
        // A quantity that is never negative gets no negative axis, except as room for a label under zero.
        let never_negative = !log && low >= 0.0;
        let floor = match (never_negative, panel.best) {
            (true, Some(Best::Lowest)) => -pad_low,
            (true, _) => 0.0,
            (false, _) => f64::NEG_INFINITY,
        };
        Self { width, top, log, never_negative, x, y: ((low - pad_low).max(floor), high + pad_high) }
    }

    fn place(&self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        let y = if self.log { y.log10() } else { y };
        (x.is_finite() && y.is_finite()).then(|| (self.place_x(x), self.place_y(y)))
    }

    fn place_x(&self, x: f64) -> f64 {
        LEFT + (self.width - LEFT - RIGHT) * (x - self.x.0) / (self.x.1 - self.x.0)
    }

    fn place_y(&self, y: f64) -> f64 {
        self.top + PANEL_HEIGHT * (1.0 - (y - self.y.0) / (self.y.1 - self.y.0))
    }

    /// Grid, frame and numbers; the horizontal numbers and their name only where `x_label` is given.
    fn draw_grid(&self, canvas: &Canvas<'_>, x_label: Option<&str>) -> Result<()> {
        let (right, bottom) = (self.width - RIGHT, self.top + PANEL_HEIGHT);
        let small = Type::new(11.0, MUTED);
        for tick in ticks::linear(self.x.0, self.x.1, (self.width / 105.0) as usize) {
            let x = self.place_x(tick.at);
            canvas.path(&[(x, self.top), (x, bottom)], 1.0, GRID, 1.0)?;
            if x_label.is_some() {
                canvas.text(x, bottom + 13.0, Align::Centre, small, &tick.label)?;
            }
        }
        let y_ticks = if self.log {
            ticks::logarithmic(10f64.powf(self.y.0), 10f64.powf(self.y.1), 5)
        } else {
            ticks::linear(self.y.0, self.y.1, 5)
        };
        for tick in y_ticks {
            if self.never_negative && tick.at < 0.0 {
                continue;
            }
            let y = self.place_y(if self.log { tick.at.log10() } else { tick.at });
            canvas.path(&[(LEFT, y), (right, y)], 1.0, GRID, 1.0)?;
            canvas.text(LEFT - 8.0, y, Align::Right, small, &tick.label)?;
        }
        canvas.path(&[(LEFT, self.top), (LEFT, bottom), (right, bottom)], 1.0, FRAME, 1.0)?;
        if let Some(label) = x_label {
            canvas.text(
                (LEFT + right) / 2.0,
                bottom + 33.0,
                Align::Centre,
                Type::new(12.0, INK),
                &printable(label),
            )?;
        }
        Ok(())
    }
}

/// Least and greatest of the finite values.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|v| v.is_finite()).fold(None, |range, v| match range {
        None => Some((v, v)),
        Some((low, high)) => Some((low.min(v), high.max(v))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: &[(f64, f64)]) -> Series {
        Series { name: "valid & co".to_owned(), colour: 0, faint: false, points: points.to_vec() }
    }

    fn panel(scale: Scale, best: Option<Best>, points: &[(f64, f64)]) -> Panel {
        Panel { label: "loss".to_owned(), scale, best, series: vec![series(points)] }
    }

    fn svg(panels: Vec<Panel>) -> String {
        Curves { title: "t".to_owned(), x_label: "step".to_owned(), width: Curves::PAGE, panels }
            .to_svg()
            .unwrap()
    }

    #[test]
    fn logarithms_only_where_they_help() {
        let is_log = |scale, ys: &[f64]| {
            let points: Vec<_> = ys.iter().enumerate().map(|(x, y)| (x as f64, *y)).collect();
            panel(scale, None, &points).is_log()
        };
        assert!(is_log(Scale::Auto, &[90.0, 1.2]));
        assert!(!is_log(Scale::Auto, &[3.0, 1.2]));
        assert!(!is_log(Scale::Auto, &[0.0, 90.0]));
        assert!(is_log(Scale::Log, &[3.0, 1.2]));
        assert!(!is_log(Scale::Linear, &[90.0, 1.2]));
        assert!(!is_log(Scale::Log, &[f64::NAN]));
    }

    #[test]
    fn the_first_best_point_is_marked() {
        let points = [(1.0, 4.0), (2.0, f64::NAN), (3.0, 2.0), (4.0, 2.0), (5.0, 3.0)];
        assert_eq!(series(&points).best(Best::Lowest), Some((3.0, 2.0)));
        assert_eq!(series(&points).best(Best::Highest), Some((1.0, 4.0)));
        assert_eq!(series(&[(1.0, f64::INFINITY)]).best(Best::Lowest), None);
        let text = svg(vec![panel(Scale::Auto, Some(Best::Lowest), &points)]);
        assert!(text.contains("best 2 at 3"), "{text}");
        assert!(text.contains("valid &amp; co"));
    }

    #[test]
    fn values_that_cannot_be_drawn_cut_the_line() {
        let points = [(1.0, 4.0), (2.0, 3.0), (3.0, f64::NAN), (4.0, 2.0), (5.0, 1.0)];
        let panel = panel(Scale::Linear, None, &points);
        let frame = Frame::of(&panel, (Curves::PAGE, 0.0), (1.0, 5.0));
        let lengths: Vec<_> = panel.series[0].stretches(&frame).iter().map(Vec::len).collect();
        assert_eq!(lengths, [2, 2]);
    }

    #[test]
    fn one_point_none_and_flat_are_drawn() {
        for points in [&[(5.0, 1.0)][..], &[], &[(1.0, 0.0), (2.0, 0.0)]] {
            let text = svg(vec![panel(Scale::Auto, Some(Best::Lowest), points)]);
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        }
        assert!(svg(vec![panel(Scale::Auto, None, &[])]).contains("no values yet"));
    }

    #[test]
    fn a_long_legend_gets_its_own_rows() {
        let mut wide = panel(Scale::Linear, None, &[(0.0, 1.0)]);
        assert!(wide.legend(Curves::PAGE).beside);
        wide.series = vec![series(&[(0.0, 1.0)]); 12];
        let legend = wide.legend(Curves::PAGE);
        assert!(!legend.beside && legend.rows.len() == 2, "{} rows", legend.rows.len());
        assert_eq!(legend.rows.iter().map(Vec::len).sum::<usize>(), 12);
        assert_eq!(wide.head_height(Curves::PAGE), HEAD + 2.0 * LEGEND_ROW);
    }

    #[test]
    fn a_figure_needs_panels() {
        let none =
            Curves { title: String::new(), x_label: String::new(), width: Curves::PAGE, panels: Vec::new() };
        assert!(matches!(none.to_svg(), Err(Error::Empty { .. })));
    }
}
