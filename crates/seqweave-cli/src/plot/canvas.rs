//! A thin layer over plotters' SVG backend: sub-pixel coordinates, safe labels, and an estimate of text width.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Error, FONT_FAMILIES, Result};

/// plotters places things on whole units, so a figure is drawn this many units to the pixel and scaled by its header.
const UNITS: f64 = 8.0;
/// plotters writes `size / 1.24` as the font size; this undoes it.
const FONT_FACTOR: f64 = 1.24;

/// Ink of titles and token labels.
pub(super) const INK: RGBColor = RGBColor(0x22, 0x26, 0x2b);
/// Ink of axis numbers and captions.
pub(super) const MUTED: RGBColor = RGBColor(0x6b, 0x72, 0x7a);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(0xe6, 0xe9, 0xec);
/// Frames and axis lines.
pub(super) const FRAME: RGBColor = RGBColor(0xb4, 0xba, 0xc1);

/// Which point of a text lies at the given position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Align {
    /// The position is the left end of the text.
    Left,
    /// The position is its middle.
    Centre,
    /// The position is its right end.
    Right,
}

/// How a label is set: pixels and ink.
#[derive(Debug, Clone, Copy)]
pub(super) struct Type {
    pub(super) size: f64,
    pub(super) ink: RGBColor,
    pub(super) bold: bool,
}

impl Type {
    /// Plain type of this size and ink.
    pub(super) fn new(size: f64, ink: RGBColor) -> Self {
        Self { size, ink, bold: false }
    }

    /// The same in bold.
    pub(super) fn bold(self) -> Self {
        Self { bold: true, ..self }
    }
}

/// A drawing surface measured in pixels.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
}

/// Draws a figure of `width` × `height` pixels on white and returns the SVG document.
pub(super) fn draw(
    width: f64,
    height: f64,
    title: &str,
    body: impl FnOnce(&Canvas<'_>) -> Result<()>,
) -> Result<String> {
    let (width, height) = (width.ceil(), height.ceil());
    let size = ((width * UNITS) as u32, (height * UNITS) as u32);
    let mut svg = String::new();
    {
        let canvas = Canvas { area: SVGBackend::with_string(&mut svg, size).into_drawing_area() };
        canvas.rect(0.0, 0.0, width, height, WHITE)?;
        body(&canvas)?;
        canvas.area.present().map_err(backend)?;
    }
    // The drawing is UNITS times too large; width, height and an accessible title belong to the header.
    let drawn = format!("<svg width=\"{}\" height=\"{}\"", size.0, size.1);
    let header = format!("<svg role=\"img\" width=\"{width}\" height=\"{height}\"");
    let svg = svg.replacen(&drawn, &header, 1);
    let escaped = escape(&printable(title));
    Ok(svg.replacen(">\n", &format!(">\n<title>{escaped}</title>\n"), 1))
}

impl Canvas<'_> {
    /// A filled rectangle.
    pub(super) fn rect(&self, x: f64, y: f64, width: f64, height: f64, fill: RGBColor) -> Result<()> {
        let corners = [unit(x, y), unit(x + width, y + height)];
        self.area.draw(&Rectangle::new(corners, fill.filled())).map_err(backend)
    }

    /// The outline of a rectangle.
    pub(super) fn frame(&self, x: f64, y: f64, width: f64, height: f64, ink: RGBColor) -> Result<()> {
        let (right, bottom) = (x + width, y + height);
        self.path(&[(x, y), (right, y), (right, bottom), (x, bottom), (x, y)], 1.0, ink, 1.0)
    }

    /// An open line through the points, with an opacity in [0, 1].
    pub(super) fn path(&self, points: &[(f64, f64)], width: f64, ink: RGBColor, opacity: f64) -> Result<()> {
        let points: Vec<_> = points.iter().map(|&(x, y)| unit(x, y)).collect();
        let style = ShapeStyle {
            color: ink.mix(opacity),
            filled: false,
            stroke_width: (width * UNITS).round().max(1.0) as u32,
        };
        self.area.draw(&PathElement::new(points, style)).map_err(backend)
    }

    /// A filled dot.
    pub(super) fn dot(&self, x: f64, y: f64, radius: f64, fill: RGBColor) -> Result<()> {
        let radius = (radius * UNITS).round() as i32;
        self.area.draw(&Circle::new(unit(x, y), radius, fill.filled())).map_err(backend)
    }

    /// One line of text whose vertical middle is at `y`.
    pub(super) fn text(&self, x: f64, y: f64, align: Align, style: Type, text: &str) -> Result<()> {
        // The backend lowers the base line by 0.25 em; capitals and CJK signs are centred at about 0.37 em.
        self.write(unit(x, y + 0.11 * style.size), align, style, FontTransform::None, text)
    }

    /// Text that reads upwards; its horizontal middle is at `x` and `align` speaks along the reading direction.
    pub(super) fn text_up(&self, x: f64, y: f64, align: Align, style: Type, text: &str) -> Result<()> {
        self.write(unit(x + 0.11 * style.size, y), align, style, FontTransform::Rotate270, text)
    }

    fn write(
        &self,
        at: (i32, i32),
        align: Align,
        style: Type,
        turn: FontTransform,
        text: &str,
    ) -> Result<()> {
        let anchor = match align {
            Align::Left => HPos::Left,
            Align::Centre => HPos::Center,
            Align::Right => HPos::Right,
        };
        let weight = if style.bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = FontDesc::new(FontFamily::Name(FONT_FAMILIES), style.size * UNITS * FONT_FACTOR, weight)
            .transform(turn);
        let style = TextStyle::from(font).color(&style.ink).pos(Pos::new(anchor, VPos::Center));
        self.area.draw(&Text::new(printable(text), at, style)).map_err(backend)
    }
}

/// The width of a text in ems, near enough to lay out labels without opening a font.
pub(super) fn ems(text: &str) -> f64 {
    text.chars().map(char_ems).sum()
}

/// The longest beginning of a text that fits in `limit` ems, marked with an ellipsis where something is missing.
pub(super) fn shorten(text: &str, limit: f64) -> String {
    if ems(text) <= limit {
        return text.to_owned();
    }
    let mut used = 1.0;
    let kept = text.chars().take_while(|c| {
        used += char_ems(*c);
        used <= limit
    });
    kept.chain(['…']).collect()
}

/// A token as it can be shown: blanks and control characters become visible signs, which also keeps the document
/// well-formed, since XML has no way to write most control characters.
pub(super) fn printable(text: &str) -> String {
    let body = text.trim_start_matches(' ');
    let head = text.len() - body.len();
    let tail = body.len() - body.trim_end_matches(' ').len();
    let last = text.chars().count() - tail;
    text.chars()
        .enumerate()
        .map(|(i, c)| match c {
            // Blanks at the ends would be dropped by XML, and a lone blank token would be invisible.
            ' ' if i < head || i >= last => '␣',
            '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
            '\u{7f}' => '␡',
            '\u{80}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
            _ => c,
        })
        .collect()
}

fn char_ems(c: char) -> f64 {
    match c as u32 {
        // Combining marks, joiners and variation selectors sit on their base character.
        0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0.0,
        // East Asian wide ranges, emoji included.
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 1.0,
        _ => match c {
            'i' | 'j' | 'l' | 'I' | '|' | '!' | '.' | ',' | ':' | ';' | '\'' | '`' | ' ' => 0.32,
            'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '/' | '-' | '"' => 0.42,
            'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.92,
            '0'..='9' => 0.6,
            _ if c.is_uppercase() => 0.68,
            _ => 0.6,
        },
    }
}

fn unit(x: f64, y: f64) -> (i32, i32) {
    ((x * UNITS).round() as i32, (y * UNITS).round() as i32)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn backend(error: impl std::fmt::Display) -> Error {
    Error::Backend(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_controls_become_visible() {
        for (raw, shown) in [
            (" ", "␣"),
            (" the b ", "␣the b␣"),
            ("a\tb", "a␉b"),
            ("\u{0}", "␀"),
            ("\u{7f}", "␡"),
            ("\u{ffff}", "\u{fffd}"),
            ("", ""),
        ] {
            assert_eq!(printable(raw), shown, "{raw:?}");
        }
    }

    #[test]
    fn shortening_counts_wide_signs_twice() {
        assert_eq!(shorten("short", 5.0), "short");
        assert_eq!(shorten("注意力机制注意力机制", 4.0), "注意力…");
        assert_eq!(ems("e\u{301}"), ems("e"));
    }

    #[test]
    fn header_states_pixels_and_title_is_escaped() {
        let svg = draw(10.0, 5.0, "a<b & c", |_| Ok(())).unwrap();
        assert!(svg.starts_with(r#"<svg role="img" width="10" height="5" viewBox="0 0 80 40""#), "{svg}");
        assert!(svg.contains("<title>a&lt;b &amp; c</title>"));
    }
}
