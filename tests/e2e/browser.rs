//! The report in a headless browser: what the console says, whether it fits the screens, whether anything is drawn.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::dir::{Dir, skipped};
use crate::models::trained;

/// How many sections the report of a run with attention has that still makes mistakes; which, the tests of the page say.
const SECTIONS: usize = 11;

/// The names of the sections of a page.
fn sections(page: &str) -> Vec<&str> {
    page.split("<section id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Widths in pixels of a desk's screen and of a telephone's.
const SCREENS: [(&str, u32); 2] = [("desk", 1280), ("telephone", 390)];
/// The height of a screen, and of a picture.
const HEIGHT: u32 = 2400;

/// A headless browser, if one is installed: the one that `SEQWEAVE_CHROMIUM` names, or one by a usual name.
fn browser() -> Option<String> {
    let answers = |name: &String| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    match std::env::var("SEQWEAVE_CHROMIUM") {
        Ok(named) => {
            assert!(answers(&named), "SEQWEAVE_CHROMIUM names `{named}`, which does not start");
            Some(named)
        }
        Err(_) => {
            ["chromium", "chromium-browser", "google-chrome"].map(str::to_owned).into_iter().find(answers)
        }
    }
}

const NO_BROWSER: &str =
    "no headless browser to open a report in (chromium, or what SEQWEAVE_CHROMIUM names)";

/// Runs a browser on a page: what it writes on stdout, and what its console said.
fn opened(browser: &str, dir: &Dir, page: &Path, options: &[&str]) -> (String, String) {
    let profile = format!("--user-data-dir={}", dir.join("profile").display());
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"])
        .arg(profile)
        .args(options)
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("the browser starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(output.stdout), text(output.stderr))
}

#[test]
fn a_report_opens_in_a_browser_without_a_complaint() {
    let dir = trained().fresh();
    dir.seqweave("report run -o report.html").run().good().says("wrote report.html");
    let page = dir.text("report.html");
    assert_eq!(sections(&page).len(), SECTIONS, "{:?}", sections(&page));
    assert!(!page.contains("<script") && !page.contains("src="), "the page loads something");
    let Some(browser) = browser() else { return skipped(NO_BROWSER) };
    // A page that does what must not be done shows that the console is heard.
    dir.create("bad.html", "<!doctype html><img src=\"none.png\"><script>console.error('heard')</script>");
    let (_, console) = opened(&browser, &dir, &dir.join("bad.html"), &["--dump-dom"]);
    assert!(console.contains("CONSOLE") && console.contains("heard"), "{console}");
    let (document, console) = opened(&browser, &dir, &dir.join("report.html"), &["--dump-dom"]);
    assert!(!console.contains("CONSOLE"), "{console}");
    assert_eq!(sections(&document), sections(&page), "the browser has lost some");
    assert!(document.matches("<svg").count() >= 5, "curves and attention maps");
}

/// Measures the page that it stands in and tells the page around it.
const MEASURE: &str = "<script>
const width = document.documentElement.clientWidth;
const name = e => `${e.tagName} ${e.className.baseVal ?? e.className} ${e.textContent.slice(0, 40)}`;
const scrolls = e => e && (getComputedStyle(e).overflowX !== 'visible' || scrolls(e.parentElement));
const all = what => [...document.body.querySelectorAll(what)];
parent.postMessage({
  screen: innerWidth,
  scrolls: document.documentElement.scrollWidth > width,
  wide: all('*').filter(e => e.getBoundingClientRect().right > width + 1 && !scrolls(e)).map(name),
  links: all('a').length,
  broken: all('a').filter(a => !document.getElementById(a.hash.slice(1))).map(name),
  labels: all('svg text').length,
  cut: all('svg text').filter(text => {
    const [t, s] = [text, text.ownerSVGElement].map(e => e.getBoundingClientRect());
    return t.left < s.left - 1 || t.right > s.right + 1 || t.top < s.top - 1 || t.bottom > s.bottom + 1;
  }).map(name),
}, '*');
</script>";

/// A page that shows another one on a screen of so many pixels, since a browser's own window cannot be as narrow as a
/// telephone; what the other one tells is written below it.
fn screen(page: &str, width: u32) -> String {
    format!(
        "<!doctype html><body style=\"margin:0\">\
         <script>addEventListener('message', e => {{ found.textContent = JSON.stringify(e.data); }});</script>\
         <iframe src=\"{page}\" style=\"display:block;border:0;width:{width}px;height:{HEIGHT}px\"></iframe>\
         <pre id=\"found\"></pre>"
    )
}

#[test]
fn a_report_fits_a_desk_and_a_telephone_by_day_and_by_night() {
    let dir = trained().fresh();
    dir.seqweave("report run -o report.html").run().good();
    let page = dir.text("report.html");
    let Some(browser) = browser() else { return skipped(NO_BROWSER) };
    // The report itself has no script and forbids any; a copy measures itself.
    let policy = page.find("<meta http-equiv=").expect("a policy");
    let end = policy + page[policy..].find('\n').expect("a line of its own");
    let copy = format!("{}{}", &page[..policy], &page[end..]);
    dir.create("copy.html", copy.replace("</body>", &format!("{MEASURE}</body>")));
    let pictures = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("report");
    fs::create_dir_all(&pictures).unwrap();
    for (name, width) in SCREENS {
        let size = format!("--window-size={},{HEIGHT}", width.max(500));
        let place = dir.join(format!("{name}.html"));
        dir.create(&format!("{name}.html"), screen("copy.html", width));
        let (document, console) =
            opened(&browser, &dir, &place, &[&size, "--virtual-time-budget=5000", "--dump-dom"]);
        assert!(!console.contains("CONSOLE"), "{console}");
        let found = document.split("<pre id=\"found\">").nth(1).and_then(|rest| rest.split("</pre>").next());
        let found = found.unwrap_or_default().replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let found: Value = serde_json::from_str(&found).unwrap_or_else(|e| panic!("{e}: {found}\n{console}"));
        assert_eq!(found["screen"], width, "{name}: {found}");
        assert_eq!(found["scrolls"], false, "{name} scrolls sideways: {found}");
        for none in ["wide", "broken", "cut"] {
            assert_eq!(found[none], Value::Array(Vec::new()), "{name}: {none}\n{found}");
        }
        assert!(found["links"].as_u64().unwrap() >= SECTIONS as u64, "{name}: {found}");
        assert!(found["labels"].as_u64().unwrap() > 30, "{name}: {found}");

        for (time, scheme) in [("night", 0), ("day", 1)] {
            let picture = pictures.join(format!("{name}-{time}.png"));
            let _ = fs::remove_file(&picture);
            dir.create(&format!("{name}.html"), screen("report.html", width));
            let shot = format!("--screenshot={}", picture.display());
            let scheme = format!("--blink-settings=preferredColorScheme={scheme}");
            let (_, console) = opened(&browser, &dir, &place, &[&size, &scheme, "--hide-scrollbars", &shot]);
            let shown = rows_with_something(&fs::read(&picture).unwrap_or_else(|e| panic!("{e}\n{console}")));
            assert!(shown > 0.3, "{name} by {time}: {shown} of the rows show something");
        }
    }
    dir.create("blank.html", "<!doctype html>");
    let blank = dir.join("blank.png");
    let shot = format!("--screenshot={}", blank.display());
    opened(&browser, &dir, &dir.join("blank.html"), &["--window-size=500,500", "--hide-scrollbars", &shot]);
    assert_eq!(rows_with_something(&fs::read(blank).unwrap()), 0.0, "a blank page shows nothing");
}

/// The share of rows of a PNG file of eight bits a colour whose pixels are not all alike.
fn rows_with_something(png: &[u8]) -> f64 {
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
    let (width, height) = (number(16), number(20));
    let bytes = match png[25] {
        2 => 3,
        6 => 4,
        other => panic!("colour type {other}"),
    };
    let (mut at, mut packed) = (8, Vec::new());
    while at < png.len() {
        let (length, kind) = (number(at), &png[at + 4..at + 8]);
        if kind == b"IDAT" {
            packed.extend(&png[at + 8..at + 8 + length]);
        }
        at += length + 12;
    }
    let mut rows = Vec::new();
    flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut rows).expect("a PNG file is packed by zlib");
    let rows: Vec<&[u8]> = rows.chunks(1 + width * bytes).collect();
    assert_eq!(rows.len(), height);
    // Each row begins with its filter. Filters keep a row of one colour a row of few kinds of pixels, its first and the others.
    let says = |row: &&&[u8]| {
        let mut pixels = row[1..].chunks(bytes).skip(1);
        let first = pixels.next();
        pixels.any(|pixel| Some(pixel) != first)
    };
    rows.iter().filter(says).count() as f64 / height as f64
}
