//! Curves and attention maps, drawn into the page.

use super::{Examined, Html, Run, Section, note};
use crate::history::{self, History};
use crate::plot::{AttentionMap, Curves, Panel, Result, Scale, Series, inline};

/// Pixels of a panel: two stand beside each other on a desk, and one fits a telephone with its numbers still readable.
const PANEL_WIDTH: f64 = 440.0;
/// Points of a curve; more would only make the page large.
const POINTS: usize = 400;

/// Loss, scores, learning rate, gradient norm and speed over the steps.
pub(super) fn curves(runs: &[Run]) -> Result<Section> {
    let histories: Vec<History> = runs.iter().map(|run| run.history.clone()).collect();
    let mut panels = history::curves(&histories, None).panels;
    for (label, points) in [
        ("gradient norm", (|history| &history.grad_norm) as fn(&History) -> &Vec<(f64, f64)>),
        ("target tokens a second", |history| &history.speed),
    ] {
        let series = histories.iter().enumerate().map(|(i, history)| Series {
            name: if histories.len() > 1 { history.name.clone() } else { String::new() },
            colour: i,
            faint: false,
            points: points(history).clone(),
        });
        panels.push(Panel {
            label: label.to_owned(),
            scale: Scale::Auto,
            best: None,
            series: series.collect(),
        });
    }
    let drawn = panels.into_iter().map(|mut panel| {
        panel.series.iter_mut().for_each(|series| series.points = thinned(&series.points, POINTS));
        let label = panel.label.clone();
        let curves =
            Curves { title: String::new(), x_label: "step".into(), width: PANEL_WIDTH, panels: vec![panel] };
        Ok(figure(&curves.to_svg()?, &label))
    });
    let figures = drawn.collect::<Result<Vec<Html>>>()?;
    let about = "Pale lines are measured on the training data, the others on the development data.";
    let body = [note(about), Html::element("div", "figures", figures.into_iter().collect())];
    Ok(Section::new("curves", "Curves", body))
}

/// Where the model looked while it wrote some outputs.
pub(super) fn attention(examined: &Examined) -> Result<Option<Section>> {
    let maps = examined.found.attended.iter().filter_map(|(source, translation)| {
        AttentionMap::of(source, translation, None).map(|map| {
            let svg = map.to_svg()?;
            Ok(figure(&svg, &format!("Attention: {}", map.title)))
        })
    });
    let maps = maps.collect::<Result<Vec<Html>>>()?;
    if maps.is_empty() {
        return Ok(None);
    }
    let about =
        "A row is a token that was written, a column one of the source; where it is blue, the model looked.";
    let body = [note(about), Html::element("div", "maps", maps.into_iter().collect())];
    Ok(Some(Section::new("attention", "Attention", body)))
}

/// A drawing. Its title is read out where it cannot be seen.
fn figure(svg: &str, title: &str) -> Html {
    let label = Html::text(title);
    let svg = inline(svg).replacen(
        "<svg role=\"img\"",
        &format!("<svg role=\"img\" aria-label=\"{}\"", label.as_str()),
        1,
    );
    Html::element("div", "figure", Html::drawing(svg))
}

/// At most so many points: the means of stretches of equal length, and the ends as they are.
fn thinned(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    if points.len() <= most {
        return points.to_vec();
    }
    let (first, last) = (points[0], points[points.len() - 1]);
    let inner = &points[1..points.len() - 1];
    let stretch = inner.len().div_ceil(most - 2);
    let mean = |part: &[(f64, f64)]| {
        let count = part.len() as f64;
        (part.iter().map(|p| p.0).sum::<f64>() / count, part.iter().map(|p| p.1).sum::<f64>() / count)
    };
    [first].into_iter().chain(inner.chunks(stretch).map(mean)).chain([last]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_curve_keeps_its_course_and_its_ends() {
        let points: Vec<_> = (0..10_000).map(|i| (f64::from(i), f64::from(i % 2))).collect();
        let thin = thinned(&points, 400);
        assert!(thin.len() <= 400 && thin.len() > 300, "{}", thin.len());
        assert_eq!((thin[0], *thin.last().unwrap()), (points[0], points[9999]));
        assert!(thin[1..thin.len() - 1].iter().all(|p| (p.1 - 0.5).abs() < 0.1));
        assert!(thin.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(thinned(&points[..9], 400), points[..9]);
    }
}
