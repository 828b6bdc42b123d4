//! HTML that cannot be wrong about escaping: text becomes markup in one place.

/// A piece of HTML.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Html(String);

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column<'a> {
    name: &'a str,
    class: &'static str,
}

impl<'a> Column<'a> {
    /// Words, which begin below each other.
    pub fn text(name: &'a str) -> Column<'a> {
        Column { name, class: "" }
    }

    /// Numbers, which end below each other.
    pub fn number(name: &'a str) -> Column<'a> {
        Column { name, class: "number" }
    }
}

impl Html {
    /// Text of anybody: shown as it is, whatever it contains.
    ///
    /// ```
    /// use seqweave_cli::report::Html;
    /// assert_eq!(Html::text("<b> & \"c\"").as_str(), "&lt;b&gt; &amp; &quot;c&quot;");
    /// ```
    pub fn text(text: &str) -> Html {
        let mut html = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '&' => html.push_str("&amp;"),
                '<' => html.push_str("&lt;"),
                '>' => html.push_str("&gt;"),
                '"' => html.push_str("&quot;"),
                '\'' => html.push_str("&#39;"),
                '\n' | '\t' => html.push(c),
                // A document must not contain most control characters; their pictures say that they are there.
                '\u{0}'..='\u{1f}' => html.extend(char::from_u32(0x2400 + c as u32)),
                '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => html.push('\u{fffd}'),
                c => html.push(c),
            }
        }
        Html(html)
    }

    /// Markup that stands in this program.
    pub fn markup(markup: &'static str) -> Html {
        Html(markup.to_owned())
    }

    /// A drawing of [`crate::plot`], which escapes the texts in it.
    pub fn drawing(svg: String) -> Html {
        Html(svg)
    }

    /// `<tag class="class">inner</tag>`
    pub fn element(tag: &'static str, class: &str, inner: Html) -> Html {
        let attribute = match class {
            "" => String::new(),
            class => format!(" class=\"{}\"", Html::text(class).0),
        };
        Html(format!("<{tag}{attribute}>{}</{tag}>", inner.0))
    }

    /// Text of a corpus or a model: isolated, so that a text written from right to left turns nothing around it.
    pub fn quoted(text: &str) -> Html {
        match text {
            "" => Html::element("span", "nothing", Html::text("nothing")),
            text => Html::element("bdi", "", Html::text(text)),
        }
    }

    /// `<section id="id"><h2>title</h2>inner</section>`
    pub fn section(id: &str, title: &str, inner: Html) -> Html {
        let (id, title) = (Html::text(id).0, Html::text(title).0);
        Html(format!("<section id=\"{id}\">\n<h2>{title}</h2>\n{}\n</section>\n", inner.0))
    }

    /// A link to a place in the page.
    pub fn link(id: &str, text: &str) -> Html {
        Html(format!("<a href=\"#{}\">{}</a>", Html::text(id).0, Html::text(text).0))
    }

    /// A table in a frame that scrolls where it is too wide for the page.
    ///
    /// ```
    /// use seqweave_cli::report::{Column, Html};
    /// let table = Html::table(&[Column::text("run"), Column::number("BLEU")], vec![]);
    /// assert!(table.as_str().contains("<th class=\"number\">BLEU</th>"));
    /// ```
    pub fn table(columns: &[Column<'_>], rows: Vec<Vec<Html>>) -> Html {
        let row = |cells: Vec<Html>, tag| {
            let class = |i: usize| columns.get(i).map_or("", |column| column.class);
            let cell = |(i, cell)| Html::element(tag, class(i), cell);
            Html::element("tr", "", cells.into_iter().enumerate().map(cell).collect())
        };
        let head = row(columns.iter().map(|column| Html::text(column.name)).collect(), "th");
        let body = rows.into_iter().map(|cells| row(cells, "td")).collect();
        let parts = [Html::element("thead", "", head), Html::element("tbody", "", body)];
        Html::element("div", "scroll", Html::element("table", "", parts.into_iter().collect()))
    }

    /// Lines of a name and a value.
    pub fn pairs(class: &str, pairs: impl IntoIterator<Item = (String, Html)>) -> Html {
        let line = |(name, value): (String, Html)| {
            [Html::element("dt", "", Html::text(&name)), Html::element("dd", "", value)]
        };
        Html::element("dl", class, pairs.into_iter().flat_map(line).collect())
    }

    /// A table cell whose ground is tinted, from not at all (0) to fully (1).
    pub fn tinted(text: &str, share: f64) -> Html {
        let percent = (100.0 * share.clamp(0.0, 1.0)).round();
        Html(format!("<span class=\"tint\" style=\"--share:{percent}%\">{}</span>", Html::text(text).0))
    }

    /// A bar beside a number, as long as a share of the greatest.
    pub fn bar(share: f64) -> Html {
        let percent = (100.0 * share.clamp(0.0, 1.0)).round();
        Html(format!("<span class=\"bar\" style=\"width:{percent}%\"></span>"))
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Adds another piece at the end.
    pub fn push(&mut self, html: Html) {
        self.0.push_str(&html.0);
    }
}

impl FromIterator<Html> for Html {
    fn from_iter<I: IntoIterator<Item = Html>>(pieces: I) -> Html {
        let mut whole = Html::default();
        pieces.into_iter().for_each(|piece| whole.push(piece));
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup() {
        for (text, html) in [
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("\" onload='x'", "&quot; onload=&#39;x&#39;"),
            ("a & &amp;", "a &amp; &amp;amp;"),
            ("a\u{0}b\u{1b}[31m\u{9b}", "a␀b␛[31m\u{fffd}"),
            ("注意 é", "注意 é"),
        ] {
            assert_eq!(Html::text(text).as_str(), html);
        }
        let hostile = "\"><img src=x onerror=alert(1)>";
        for html in [
            Html::quoted(hostile),
            Html::element("td", hostile, Html::default()),
            Html::section(hostile, hostile, Html::default()),
            Html::link(hostile, hostile),
            Html::table(&[Column::text(hostile)], Vec::new()),
            Html::pairs("", [(hostile.to_owned(), Html::default())]),
            Html::tinted(hostile, f64::NAN),
        ] {
            assert!(!html.as_str().contains("<img") && !html.as_str().contains("\"\">"), "{}", html.as_str());
        }
    }

    #[test]
    fn a_table_has_a_row_for_each_row() {
        let columns = [Column::text("a"), Column::number("b")];
        let table = Html::table(&columns, vec![vec![Html::text("1"), Html::text("2")]; 3]);
        assert_eq!(table.as_str().matches("<tr>").count(), 4);
        assert_eq!(table.as_str().matches("<td>").count(), 3);
        assert_eq!(table.as_str().matches("<td class=\"number\">").count(), 3);
    }
}
