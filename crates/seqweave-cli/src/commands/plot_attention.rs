//! `plot attention`: where the model looks while it writes.

use seqweave::Translation;

use super::{figure, open_model, translate_options};
use crate::exit::{Exit, Failure, Outcome};
use crate::plot::AttentionMap;
use crate::resolve::{Context, PlotAttention};
use crate::ui::Ui;

/// Translates each text and draws its attention.
///
/// # Errors
/// When the model has no attention, a text has no tokens, or a figure cannot be written.
pub fn run(ui: &Ui, context: &Context, job: PlotAttention) -> Outcome {
    let translator = open_model(ui, context, &job.model)?;
    let options = translate_options(&translator, &job.search);
    let texts: Vec<&str> = job.texts.iter().map(|(text, _)| text.as_str()).collect();
    let translations = translator.translate(&texts, &options)?;
    for ((text, place), translation) in job.texts.iter().zip(translations) {
        let map = attention_map(text, &translation, place.title.as_deref())?;
        figure::write(ui, place, &map.to_svg()?)?;
    }
    Ok(Exit::Good)
}

fn attention_map(text: &str, translation: &Translation, title: Option<&str>) -> Outcome<AttentionMap> {
    if translation.best().is_none() {
        return Err(Failure::usage(format!("--text {text:?} has no tokens, so there is nothing to draw"))
            .help("give a text that is not blank"));
    }
    AttentionMap::of(text, translation, title).ok_or_else(|| {
        Failure::usage("this model has no attention (model.attention is none)")
            .help("train a model with another kind, for example --set model.attention=general")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqweave::Output;

    fn translation(attention: Vec<Vec<f32>>) -> Translation {
        let output = Output {
            text: "A".to_owned(),
            tokens: vec!["A".to_owned()],
            log_prob: 0.0,
            score: 0.0,
            token_log_probs: vec![0.0, 0.0],
            attention,
        };
        Translation { source_tokens: vec!["a".to_owned()], source_tags: 0, outputs: vec![output] }
    }

    #[test]
    fn end_marks_are_part_of_the_map() {
        let map = attention_map("a", &translation(vec![vec![0.9, 0.1], vec![0.2, 0.8]]), None).unwrap();
        assert_eq!(map.source, ["a", "</s>"]);
        assert_eq!(map.target, ["A", "</s>"]);
        assert_eq!(map.title, "a → A");
        assert!(map.to_svg().is_ok());
    }

    #[test]
    fn what_cannot_be_drawn_is_said() {
        let failure = attention_map("a", &translation(vec![vec![], vec![]]), None).unwrap_err();
        assert!(failure.render(str::to_owned).contains("this model has no attention"));
        let empty = Translation::default();
        let failure = attention_map(" ", &empty, None).unwrap_err();
        assert!(failure.render(str::to_owned).contains("has no tokens"));
    }
}
