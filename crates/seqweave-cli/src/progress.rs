//! The words of the training log, as OpenNMT-py users know them.

/// The figures of one log line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepFigures {
    /// Optimizer steps done.
    pub step: u64,
    /// Optimizer steps of the whole training, if that is known.
    pub total: Option<u64>,
    /// Token accuracy since the last line, in percent.
    pub acc: f64,
    /// Perplexity since the last line.
    pub ppl: f64,
    /// Cross-entropy per token since the last line, in nats.
    pub xent: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Source tokens a second since the last line.
    pub src_tok_s: f64,
    /// Target tokens a second since the last line.
    pub tgt_tok_s: f64,
    /// Seconds since training began.
    pub seconds: f64,
}

impl StepFigures {
    /// `Step 500/10000; acc: 45.12; ppl: 23.41; xent: 3.15; lr: 0.00100; 12031/11872 tok/s; 63 sec`
    pub fn line(&self) -> String {
        let Self { step, acc, ppl, xent, lr, src_tok_s, tgt_tok_s, seconds, .. } = self;
        let of = match self.total {
            // Numbers stand under each other down the log.
            Some(total) => format!("{step:>width$}/{total}", width = total.to_string().len()),
            None => step.to_string(),
        };
        format!(
            "Step {of}; acc: {acc:>6.2}; ppl: {}; xent: {xent:.2}; lr: {lr:.5}; \
             {src_tok_s:.0}/{tgt_tok_s:.0} tok/s; {seconds:>6.0} sec",
            perplexity(*ppl)
        )
    }

    /// The short form beside a progress bar.
    pub fn message(&self) -> String {
        format!("acc {:.2}  ppl {}  {:.0} tok/s", self.acc, perplexity(self.ppl).trim_start(), self.tgt_tok_s)
    }
}

/// Perplexities begin in the thousands, where decimals say nothing.
fn perplexity(ppl: f64) -> String {
    if ppl < 1000.0 { format!("{ppl:>6.2}") } else { format!("{ppl:>6.0}") }
}

/// The line of a validation: `Valid 500: ppl 1.04  wer 29.50  * best`.
pub fn validation_line<'a>(step: u64, rows: impl IntoIterator<Item = (&'a str, f64)>, best: bool) -> String {
    let mut text = format!("Valid {step}:");
    for (name, value) in rows {
        let digits = if matches!(name, "loss" | "xent") { 4 } else { 2 };
        text.push_str(&format!("  {name} {value:.digits$}"));
    }
    if best {
        text.push_str("  * best");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIGURES: StepFigures = StepFigures {
        step: 500,
        total: Some(10_000),
        acc: 45.123,
        ppl: 23.41,
        xent: 3.153,
        lr: 0.001,
        src_tok_s: 12_031.4,
        tgt_tok_s: 11_871.9,
        seconds: 63.2,
    };

    #[test]
    fn lines_have_the_customary_words() {
        assert_eq!(
            FIGURES.line(),
            "Step   500/10000; acc:  45.12; ppl:  23.41; xent: 3.15; lr: 0.00100; 12031/11872 tok/s;     63 sec"
        );
        let early = StepFigures { step: 1, total: None, ppl: 12_345.6, ..FIGURES };
        assert!(early.line().starts_with("Step 1; acc:  45.12; ppl:  12346; "), "{}", early.line());
        assert_eq!(FIGURES.message(), "acc 45.12  ppl 23.41  11872 tok/s");
    }

    #[test]
    fn validations_name_their_rows() {
        let rows = [("loss", 0.41234), ("wer", 29.5)];
        assert_eq!(validation_line(500, rows, true), "Valid 500:  loss 0.4123  wer 29.50  * best");
        assert_eq!(validation_line(5, [], false), "Valid 5:");
    }
}
