//! A drawing as a part of an HTML page: its colours become those of the page, which may be dark.

use plotters::style::RGBColor;

use super::canvas::{FRAME, GRID, INK, MUTED};
use super::shade::palette;

/// Colours of the palette, for which a page defines `--c0`, `--c1`, …
pub const PALETTE: usize = 7;

/// An SVG document whose ground is transparent and whose inks are the custom properties `--ink`, `--muted`, `--grid`,
/// `--frame` and `--c0` … `--c6` of the page around it. Shades of heat maps stay as they are.
///
/// ```
/// use seqweave_cli::plot::{Curves, Panel, Scale, inline};
/// let panel = Panel { label: "loss".into(), scale: Scale::Linear, best: None, series: vec![] };
/// let curves = Curves { title: String::new(), x_label: "step".into(), width: 400.0, panels: vec![panel] };
/// assert!(inline(&curves.to_svg()?).contains("fill=\"var(--ink)\""));
/// # Ok::<(), seqweave_cli::plot::Error>(())
/// ```
pub fn inline(svg: &str) -> String {
    let hex = |RGBColor(r, g, b): RGBColor| format!("#{r:02X}{g:02X}{b:02X}");
    let named = [(INK, "ink"), (MUTED, "muted"), (GRID, "grid"), (FRAME, "frame")];
    let mut themes: Vec<(String, String)> =
        named.iter().map(|(colour, name)| (hex(*colour), format!("var(--{name})"))).collect();
    themes.extend((0..PALETTE).map(|i| (hex(palette(i)), format!("var(--c{i})"))));
    // The first rectangle is the ground.
    let mut svg = svg.replacen("fill=\"#FFFFFF\"", "fill=\"none\"", 1);
    for (colour, theme) in themes {
        for attribute in ["fill", "stroke"] {
            // Text in a drawing has no quotes, so that only attributes are met.
            svg = svg.replace(&format!("{attribute}=\"{colour}\""), &format!("{attribute}=\"{theme}\""));
        }
    }
    svg
}
