//! Writing a figure: SVG as it is, PNG with the system's fonts.

use crate::exit::{Exit, Failure, Outcome};
use crate::plot::Fonts;
use crate::resolve::{Figure, Image};
use crate::ui::Ui;

/// Writes the drawing to the file of the figure and says so.
///
/// # Errors
/// When the font or the file is refused.
pub fn write(ui: &Ui, figure: &Figure, svg: &str) -> Outcome<()> {
    let path = &figure.output;
    let write = |bytes: &[u8]| {
        std::fs::write(path, bytes).map_err(|e| Failure::refused(Exit::Failed, "write the figure", path, &e))
    };
    match figure.image {
        Image::Svg => write(svg.as_bytes())?,
        Image::Png => {
            let png = Fonts::load(figure.font.as_deref())?.render(svg)?;
            write(&png.bytes)?;
            if let Some(first) = png.missing.first() {
                let others = match png.missing.len() - 1 {
                    0 => String::new(),
                    n => format!(" and {n} other characters"),
                };
                ui.warn(format!(
                    "no font has `{first}` (U+{:04X}){others}; name one that does with --font FILE",
                    u32::from(*first)
                ));
            }
        }
    }
    ui.note(format!("wrote {}", path.display()));
    Ok(())
}
