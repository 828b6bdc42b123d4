//! Draws one figure of every kind into a folder, to be looked at after a change of the drawing code.
//!
//! `cargo run -p seqweave-cli --example plot_gallery -- FOLDER [FONT]`
#![forbid(unsafe_code)]

use std::path::PathBuf;

use seqweave_cli::plot::{AttentionMap, Best, Curves, Fonts, Panel, Scale, Series};

fn main() -> anyhow::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "gallery".to_owned()));
    std::fs::create_dir_all(&folder)?;
    let font = std::env::args().nth(2).map(PathBuf::from);
    let fonts = Fonts::load(font.as_deref())?;
    let figures = [
        ("attention-short", attention("d b a c </s>", "c a b d </s>", "toy-reverse: d b a c", true)?),
        (
            "attention-long",
            attention(
                "the internationalisation of uncharacteristically long words </s>",
                "die Internationalisierung außergewöhnlich langer Wörter ist schwer </s>",
                "long words",
                false,
            )?,
        ),
        (
            "attention-cjk",
            attention(
                "注 意 力 机 制 让 解 码 器 回 看 源 句 。",
                "the attention mechanism lets the decoder look back .",
                "注意力机制：中文 → English",
                false,
            )?,
        ),
        (
            "attention-g2p",
            attention("t r a n s f o r m e r", "T R AE0 N S F AO1 R M ER0", "transformer", false)?,
        ),
        ("attention-40", attention(&numbered("s", 40), &numbered("target", 40), "40 × 40", false)?),
        ("attention-300", attention(&numbered("s", 300), &numbered("t", 120), "300 × 120", false)?),
        ("attention-1", attention("a", "b", "a very long title over a very small figure", false)?),
        ("curves-3", curves(3, 1)?),
        ("curves-200", curves(200, 1)?),
        ("curves-runs", curves(60, 3)?),
    ];
    for (name, svg) in figures {
        let png = fonts.render(&svg)?;
        std::fs::write(folder.join(format!("{name}.svg")), &svg)?;
        std::fs::write(folder.join(format!("{name}.png")), &png.bytes)?;
        println!(
            "{name}: {} x {}, {} KiB of SVG, missing {:?}",
            png.width,
            png.height,
            svg.len() / 1024,
            png.missing
        );
    }
    Ok(())
}

fn numbered(stem: &str, n: usize) -> String {
    (1..=n).map(|i| format!("{stem}{i}")).collect::<Vec<_>>().join(" ")
}

/// A made-up alignment: a soft diagonal, or its mirror image.
fn attention(source: &str, target: &str, title: &str, mirrored: bool) -> anyhow::Result<String> {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (source, target) = (words(source), words(target));
    let (columns, rows) = (source.len(), target.len());
    let weights = (0..rows).map(|row| {
        let at = (row as f32 + 0.5) / rows as f32 * columns as f32 - 0.5;
        let at = if mirrored && row + 1 < rows { (columns - 2) as f32 - at } else { at };
        let wave = 0.6 + 0.5 * (row as f32 * 0.9).sin().abs();
        let scores: Vec<f32> =
            (0..columns).map(|c| (-(c as f32 - at).powi(2) / wave).exp() + 0.004).collect();
        let sum: f32 = scores.iter().sum();
        scores.into_iter().map(|s| s / sum).collect()
    });
    let weights = weights.collect();
    Ok(AttentionMap { source, target, weights, title: title.to_owned() }.to_svg()?)
}

/// Made-up runs of `n` validations each.
fn curves(n: usize, runs: usize) -> anyhow::Result<String> {
    let total = 12_000.0;
    let noise = |i: usize, k: f64| (i as f64 * 12.9898 * k).sin() * 43_758.547 % 1.0;
    let steps: Vec<f64> = (1..=n).map(|i| total * i as f64 / n as f64).collect();
    let one = |name: &str, colour, faint, f: &dyn Fn(usize, f64) -> f64| Series {
        name: name.to_owned(),
        colour,
        faint,
        points: steps.iter().enumerate().map(|(i, x)| (*x, f(i, *x))).collect(),
    };
    let mut panels: Vec<Panel> = [
        ("loss (nats per token)", Scale::Auto, Some(Best::Lowest)),
        ("perplexity", Scale::Auto, None),
        ("WER / PER (%)", Scale::Auto, Some(Best::Lowest)),
        ("learning rate", Scale::Linear, None),
    ]
    .map(|(label, scale, best)| Panel { label: label.to_owned(), scale, best, series: Vec::new() })
    .into();
    for run in 0..runs {
        let k = 1.0 + 0.25 * run as f64;
        let name = |part: &str| if runs == 1 { part.to_owned() } else { format!("run-{run} {part}") };
        let train = |i: usize, x: f64| 3.2 * (-x / 1500.0 * k).exp() + 0.22 / k + 0.06 * noise(i, k);
        let valid =
            |i: usize, x: f64| train(i, x).abs() * 0.9 + 0.2 + 0.000_02 * x + 0.02 * noise(i, 2.0 * k);
        panels[0].series.push(one(&name("train"), run, true, &train));
        panels[0].series.push(one(&name("valid"), run, false, &valid));
        panels[1].series.push(one(&name("valid"), run, false, &|i, x| (valid(i, x) * 1.6).exp()));
        panels[2].series.push(one(&name("WER"), run, false, &|i, x| {
            40.0 + 60.0 * (-x / 2500.0 * k).exp() + noise(i, 3.0)
        }));
        let rate = |_: usize, x: f64| 1e-3 * (x / 1000.0).min((1000.0 / x).sqrt()) * k;
        panels[3].series.push(one(&name("lr"), run, false, &rate));
    }
    Ok(Curves { title: "g2p-cmudict".to_owned(), x_label: "step".to_owned(), width: Curves::PAGE, panels }
        .to_svg()?)
}
