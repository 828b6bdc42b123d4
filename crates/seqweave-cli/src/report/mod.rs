//! The report of one or more runs: pure functions from what is known of them to one self-contained HTML page.
//!
//! The page has no script and asks nobody for anything: styles and drawings are in it, and its policy forbids the rest.
//! Nothing here reads a file or a model; [`crate::commands::report`] does.

mod figures;
mod html;
mod outputs;
mod overview;
mod provenance;

pub use html::{Column, Html};

use seqweave_train::Examination;
use seqweave_train::run_log::RunLog;

use crate::history::History;
use crate::output::Measurement;

/// What the page shows.
#[derive(Debug, Clone)]
pub struct Report {
    /// Headline.
    pub title: String,
    /// The runs; others are compared with the first.
    pub runs: Vec<Run>,
    /// The version that makes the page.
    pub version: String,
}

/// What is known of one run.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// What it is called beside the other runs.
    pub name: String,
    /// Its curves.
    pub history: History,
    /// Its log.
    pub log: RunLog,
    /// Its configuration as a text.
    pub config: Option<String>,
    /// Its best model, looked at closely.
    pub examined: Option<Examined>,
}

/// A model looked at closely on some pairs.
#[derive(Debug, Clone)]
pub struct Examined {
    /// Which checkpoint.
    pub model: String,
    /// Which pairs: files, or how they were found.
    pub data: String,
    /// BLAKE3 of the pairs as lines `source<TAB>target`.
    pub data_hash: String,
    /// Pairs left out because there are more than were asked for.
    pub left_out: usize,
    /// Beam of the search.
    pub beam: usize,
    /// The scores, with intervals and, from the second run on, p-values.
    pub scores: Vec<Measurement>,
    /// The rest.
    pub found: Examination,
}

impl Report {
    /// The page.
    ///
    /// # Errors
    /// When a figure cannot be drawn.
    pub fn html(&self) -> crate::plot::Result<String> {
        let several = self.runs.len() > 1;
        let mut shared = vec![overview::summary(&self.runs)];
        if several {
            shared.extend(overview::comparison(&self.runs));
        }
        shared.push(figures::curves(&self.runs)?);
        let (mut nav, mut body) = (Html::default(), Html::default());
        let mut open = links(&shared);
        body.push(shared.iter().map(|section| section.html(None)).collect());
        for (i, run) in self.runs.iter().enumerate() {
            let mut sections = self.sections_of(run)?;
            let name = several.then_some(run.name.as_str());
            if several {
                // Every place in the page has its own name, also where several runs have a section of the same kind.
                sections.iter_mut().for_each(|section| section.id.push_str(&format!("-{}", i + 1)));
            }
            if let Some(name) = name {
                nav.push(Html::element("div", "", std::mem::take(&mut open)));
                open.push(Html::element("b", "", Html::text(name)));
            }
            open.push(links(&sections));
            let html: Html = sections.iter().map(|section| section.html(name)).collect();
            body.push(if several { Html::element("article", "", html) } else { html });
        }
        // A lone run has one row of links, of several each has one.
        nav.push(Html::element("div", "", open));
        let title = Html::text(&self.title);
        let footer = format!("Made by seqweave {} report.", self.version);
        Ok([
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
            // Whatever slipped through the escaping could neither run nor call home.
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
            "<title>",
            title.as_str(),
            "</title>\n<style>\n",
            include_str!("style.css"),
            "</style>\n</head>\n<body>\n<header>",
            Html::element("h1", "", title.clone()).as_str(),
            overview::headline(&self.runs).as_str(),
            "</header>\n",
            Html::element("nav", "", nav).as_str(),
            "\n<main>\n",
            body.as_str(),
            "</main>\n",
            Html::element("footer", "", Html::text(&footer)).as_str(),
            "\n</body>\n</html>\n",
        ]
        .concat())
    }

    fn sections_of(&self, run: &Run) -> crate::plot::Result<Vec<Section>> {
        let mut sections = Vec::new();
        if let Some(examined) = &run.examined {
            sections.push(overview::scores(examined));
            sections.extend(overview::lengths(examined));
        }
        sections.extend(outputs::samples(&run.log));
        if let Some(examined) = &run.examined {
            sections.extend(figures::attention(examined)?);
            sections.extend(outputs::worst(examined));
            sections.extend(outputs::confusions(examined));
        }
        sections.push(provenance::data(run));
        sections.push(provenance::machine(run));
        sections.extend(provenance::config(run));
        Ok(sections)
    }
}

/// A part of the page.
struct Section {
    /// Its name in links, also of the tests.
    id: String,
    title: String,
    body: Html,
}

impl Section {
    fn new(id: &str, title: &str, body: impl IntoIterator<Item = Html>) -> Section {
        Section { id: id.to_owned(), title: title.to_owned(), body: body.into_iter().collect() }
    }

    /// The section, whose heading says which run it is about if there are several.
    fn html(&self, run: Option<&str>) -> Html {
        let title = run.map_or_else(|| self.title.clone(), |run| format!("{run}: {}", self.title));
        Html::section(&self.id, &title, self.body.clone())
    }
}

/// Links to some sections.
fn links(sections: &[Section]) -> Html {
    sections.iter().map(|section| Html::link(&section.id, &section.title)).collect()
}

/// A note under a heading.
fn note(text: &str) -> Html {
    Html::element("p", "note", Html::text(text))
}

#[cfg(test)]
mod tests;
