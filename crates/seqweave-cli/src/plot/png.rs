//! SVG to PNG with the fonts of the system, naming what no font can show.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, FontResolver, fontdb};

use super::{Error, Result};

/// Pixels of the PNG for one pixel of the SVG, so that text is sharp on today's screens.
const ZOOM: f32 = 2.0;

/// The fonts a figure may use: those of the system and at most one given by file, which is tried first.
pub struct Fonts {
    database: Arc<fontdb::Database>,
    first: Option<fontdb::ID>,
}

/// A rendered figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Png {
    /// The encoded file.
    pub bytes: Vec<u8>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Characters that no font could show, each once, in order of their code points.
    pub missing: Vec<char>,
}

impl Fonts {
    /// Finds the fonts of the system and, if one is named, loads a font file to be tried first for every character.
    ///
    /// # Errors
    /// [`Error::Font`] when the file cannot be read or holds no font.
    pub fn load(first: Option<&Path>) -> Result<Self> {
        let mut database = fontdb::Database::new();
        let first = first.map(|path| load_file(&mut database, path)).transpose()?;
        database.load_system_fonts();
        // `sans-serif` means Arial to the database, which few machines other than desktops have.
        database.set_sans_serif_family("DejaVu Sans");
        Ok(Self { database: Arc::new(database), first })
    }

    /// Whether some font shows this character.
    pub fn can_show(&self, c: char) -> bool {
        let svg =
            format!("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><text>{c}</text></svg>");
        self.parse(&svg).is_ok_and(|(_, missing)| missing.is_empty())
    }

    /// Renders a figure at twice its size in pixels.
    ///
    /// # Errors
    /// [`Error::Backend`] when the document is not an SVG or too large for memory.
    pub fn render(&self, svg: &str) -> Result<Png> {
        let (tree, missing) = self.parse(svg)?;
        let size = tree.size();
        let (width, height) = ((size.width() * ZOOM).ceil() as u32, (size.height() * ZOOM).ceil() as u32);
        let mut pixels = Pixmap::new(width, height)
            .ok_or_else(|| Error::Backend(format!("no room for an image of {width} × {height} pixels")))?;
        resvg::render(&tree, Transform::from_scale(ZOOM, ZOOM), &mut pixels.as_mut());
        let bytes = pixels.encode_png().map_err(|e| Error::Backend(e.to_string()))?;
        Ok(Png { bytes, width, height, missing })
    }

    fn parse(&self, svg: &str) -> Result<(usvg::Tree, Vec<char>)> {
        let missing = Arc::new(Mutex::new(BTreeSet::new()));
        let (select, fall_back) =
            (FontResolver::default_font_selector(), FontResolver::default_fallback_selector());
        let (first, seen) = (self.first, Arc::clone(&missing));
        let options = usvg::Options {
            fontdb: Arc::clone(&self.database),
            font_resolver: FontResolver {
                select_font: Box::new(move |font, database| {
                    first.or_else(|| select(font, database)).or_else(|| database.faces().next().map(|f| f.id))
                }),
                select_fallback: Box::new(move |c, used, database| {
                    let found = fall_back(c, used, database);
                    if found.is_none() && !c.is_whitespace() {
                        seen.lock().unwrap_or_else(PoisonError::into_inner).insert(c);
                    }
                    found
                }),
            },
            ..usvg::Options::default()
        };
        let tree = usvg::Tree::from_str(svg, &options).map_err(|e| Error::Backend(e.to_string()))?;
        let mut missing = missing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if self.database.is_empty() {
            // Without any font the resolver is never asked; then nothing that is written can be shown.
            missing = written(svg).collect();
        }
        Ok((tree, missing.into_iter().collect()))
    }
}

fn load_file(database: &mut fontdb::Database, path: &Path) -> Result<fontdb::ID> {
    let refuse = |reason: String| Error::Font { path: path.display().to_string(), reason };
    let bytes = std::fs::read(path).map_err(|e| refuse(e.to_string()))?;
    let ids = database.load_font_source(fontdb::Source::Binary(Arc::new(bytes)));
    ids.first().copied().ok_or_else(|| refuse("not a TrueType or OpenType font".to_owned()))
}

/// The characters between the tags of a document.
fn written(svg: &str) -> impl Iterator<Item = char> + '_ {
    svg.split('>')
        .filter_map(|part| part.split('<').next())
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::AttentionMap;

    fn map(tokens: &[&str]) -> String {
        let tokens: Vec<String> = tokens.iter().map(|t| (*t).to_owned()).collect();
        let weights = vec![vec![0.5; tokens.len()]; tokens.len()];
        AttentionMap { source: tokens.clone(), target: tokens, weights, title: String::new() }
            .to_svg()
            .unwrap()
    }

    /// Darkest channel sum in the strip left of the grid, where the target labels stand.
    fn ink(png: &Png) -> u32 {
        let pixels = Pixmap::decode_png(&png.bytes).unwrap();
        let strip = (0..png.height).flat_map(|y| (0..44).map(move |x| (x, y)));
        strip
            .filter_map(|(x, y)| pixels.pixel(x, y))
            .filter(|p| u32::from(p.red()) + u32::from(p.green()) + u32::from(p.blue()) < 300)
            .count() as u32
    }

    #[test]
    fn png_has_twice_the_size_of_the_svg() {
        let fonts = Fonts::load(None).unwrap();
        let png =
            fonts.render(r#"<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"></svg>"#).unwrap();
        assert_eq!((png.width, png.height), (60, 40));
        assert!(png.bytes.starts_with(b"\x89PNG"));
        assert!(png.missing.is_empty());
        assert!(matches!(fonts.render("not svg"), Err(Error::Backend(_))));
    }

    #[test]
    fn a_character_without_a_glyph_is_named_once() {
        let fonts = Fonts::load(None).unwrap();
        // U+E83A7 is an unassigned code point of a supplementary plane: no font has it.
        let png = fonts.render(&map(&["a\u{e83a7}", "\u{e83a7}"])).unwrap();
        assert!(png.missing.contains(&'\u{e83a7}'), "{:?}", png.missing);
        assert_eq!(png.missing.iter().filter(|c| **c == '\u{e83a7}').count(), 1);
    }

    #[test]
    fn chinese_labels_are_drawn_where_a_font_has_them() {
        let fonts = Fonts::load(None).unwrap();
        if !fonts.can_show('注') {
            println!("skipped: no installed font has Chinese characters (for example fonts-wqy-microhei)");
            return;
        }
        let png = fonts.render(&map(&["注", "意", "力"])).unwrap();
        assert!(png.missing.is_empty(), "{:?}", png.missing);
        assert!(ink(&png) > 50, "the labels left no ink: {}", ink(&png));
    }

    #[test]
    fn without_any_font_every_character_is_missing() {
        let fonts = Fonts { database: Arc::new(fontdb::Database::new()), first: None };
        let png = fonts.render(&map(&["a"])).unwrap();
        assert!(png.missing.contains(&'a'));
        assert!(!fonts.can_show('a'));
    }

    #[test]
    fn a_font_file_must_be_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no.ttf");
        assert!(matches!(Fonts::load(Some(&path)), Err(Error::Font { .. })));
        std::fs::write(&path, "hello").unwrap();
        let error = Fonts::load(Some(&path)).err().unwrap().to_string();
        assert!(error.contains("no.ttf: not a TrueType or OpenType font\nhelp: "), "{error}");
    }
}
