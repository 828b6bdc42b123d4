//! Speed on networks of known size: training steps, greedy search, beam search.
//!
//! The network is the one that is usually raced: a bidirectional LSTM encoder with H/2 units a direction, an LSTM decoder
//! with `general` attention, a full softmax, Adam, a clipped norm, no dropout. Tokens are random and every sentence has
//! its full length, so no token is padding. A result is checked before anything is timed.

use crate::update::{Update, UpdateOptions, update};
use crate::word_dropout::WordDropout;
use crate::{Error, Result};
use seqweave_nn::{AttentionKind, CellKind, Optimizer, OptimizerConfig, Params};
use seqweave_seq2seq::search::{Hypothesis, MaxLen, SearchOptions, score_batch, translate_batch};
use seqweave_seq2seq::{Batch, BridgeKind, DecoderConfig, EncoderConfig, ModelConfig, Seq2Seq};
use seqweave_tensor::{Device, Float, Philox, Precision, machine};
use serde::Serialize;
use std::time::Instant;

/// The size of a network and of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Its name.
    pub name: &'static str,
    /// Embedding size E.
    pub emb: usize,
    /// Hidden size H.
    pub hidden: usize,
    /// Layers L of encoder and decoder.
    pub layers: usize,
    /// Vocabulary V on both sides.
    pub vocab: usize,
    /// Sentences a batch, B.
    pub batch: usize,
    /// Tokens a sentence on both sides, S = T.
    pub length: usize,
}

/// The sizes there are.
pub const SIZES: [Size; 3] = [
    Size { name: "small", emb: 256, hidden: 256, layers: 1, vocab: 8_000, batch: 64, length: 20 },
    Size { name: "medium", emb: 512, hidden: 512, layers: 2, vocab: 16_000, batch: 64, length: 25 },
    Size { name: "large", emb: 512, hidden: 1024, layers: 2, vocab: 32_000, batch: 64, length: 30 },
];

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Training steps on one batch.
    Train,
    /// Greedy search over one batch, every output as long as the source.
    Greedy,
    /// Beam search over one batch, every output as long as the source.
    Beam,
}

/// What to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchOptions {
    /// The network.
    pub size: Size,
    /// What is timed.
    pub mode: Mode,
    /// Hypotheses a sentence, K, for [`Mode::Beam`].
    pub beam: usize,
    /// Whether the decoder has input feeding.
    pub input_feeding: bool,
    /// Precision of the matrix products.
    pub precision: Precision,
    /// How long to measure, in seconds; at least three steps are made.
    pub seconds: f64,
}

/// One measurement: a JSON line.
#[derive(Debug, Clone, Serialize)]
pub struct Measurement {
    /// `seqweave`.
    pub peer: &'static str,
    /// Version of this program.
    pub version: &'static str,
    /// Name of the size.
    pub config: &'static str,
    /// What was timed.
    pub mode: Mode,
    /// Whether the decoder has input feeding.
    pub input_feed: bool,
    /// Precision of the products.
    pub dtype: &'static str,
    /// Where it ran: `cpu`, or number and name of a GPU.
    pub device: String,
    /// Threads.
    pub threads: usize,
    /// Sentences a batch.
    pub batch: usize,
    /// Hypotheses a sentence.
    pub beam: usize,
    /// Target tokens a second, from the median step.
    pub tokens_per_s: f64,
    /// Target tokens a second, from the fastest step.
    pub best_tokens_per_s: f64,
    /// The median step in milliseconds.
    pub step_ms: f64,
    /// The fastest step in milliseconds.
    pub best_ms: f64,
    /// Steps measured.
    pub steps: usize,
    /// Parameters.
    pub params: usize,
    /// Work of the matrix products of a step in GFLOP; a backward pass counts twice its forward pass.
    pub gflop: f64,
    /// Rate of the matrix products over the whole median step.
    pub gflop_per_s: f64,
    /// Multiply-add ceiling of these threads, measured just before; none for portable kernels.
    pub ceiling_gflop_per_s: Option<f64>,
    /// `gflop_per_s` in percent of the ceiling.
    pub percent_of_ceiling: Option<f64>,
    /// The most memory the process held, in MiB.
    pub peak_rss_mb: Option<u64>,
    /// Instruction set of the matrix kernels.
    pub kernels: &'static str,
    /// What was found right before the clock started.
    pub checked: String,
}

impl BenchOptions {
    fn model(&self) -> ModelConfig {
        let Size { emb, hidden, layers, .. } = self.size;
        ModelConfig {
            cell: CellKind::Lstm,
            emb,
            hidden,
            encoder: EncoderConfig { layers, ..EncoderConfig::default() },
            decoder: DecoderConfig { layers, input_feeding: self.input_feeding, ..DecoderConfig::default() },
            attention: AttentionKind::General,
            bridge: BridgeKind::Copy,
            dropout: 0.0,
            ..ModelConfig::default()
        }
    }

    fn beam(&self) -> usize {
        if self.mode == Mode::Beam { self.beam } else { 1 }
    }

    /// Every output has `length` tokens, its EOS among them.
    fn search(&self) -> SearchOptions {
        let length = self.size.length - 1;
        SearchOptions {
            beam: self.beam(),
            max_len: MaxLen { ratio: 0.0, add: length },
            min_len: length,
            ..SearchOptions::default()
        }
    }

    /// Bytes of the logits and their gradient, which outgrow everything else with the batch.
    fn logit_bytes(&self) -> u64 {
        let Size { vocab, batch, length, .. } = self.size;
        let rows = if self.mode == Mode::Train { 2 * batch * length } else { batch * self.beam() };
        (rows * vocab * size_of::<Float>()) as u64
    }

    /// FLOP of the matrix products of one step: two a multiply-add.
    fn flop(&self) -> f64 {
        let Size { emb: e, hidden: h, layers, vocab, batch, length, .. } = self.size;
        let lstm = |input: usize, hidden: usize| 4 * hidden * (input + hidden);
        let encoder: usize = (0..layers).map(|l| 2 * lstm(if l == 0 { e } else { h }, h / 2)).sum();
        let first = if self.input_feeding { e + h } else { e };
        let decoder: usize = (0..layers).map(|l| lstm(if l == 0 { first } else { h }, h)).sum();
        let (keys, attention, combine, output) = (h * h, 2 * length * h, 2 * h * h, h * vocab);
        let source = batch * length * (encoder + keys);
        // At the first step a beam has one hypothesis yet.
        let rows = batch * (1 + self.beam() * (length - 1));
        let target = rows * (decoder + attention + combine + output);
        let passes = if self.mode == Mode::Train { 3.0 } else { 1.0 };
        2.0 * passes * (source + target) as f64
    }
}

/// Builds the network, checks that it computes what it should, and times it on `device`, the CPU being the threads of the
/// current pool.
///
/// # Errors
/// [`Error::Bench`] if a check fails; errors of the model.
pub fn bench(options: &BenchOptions, device: Device) -> Result<Measurement> {
    let threads = rayon::current_num_threads();
    let (ceiling, kernels) = match &device {
        Device::Cpu(_) => {
            (machine::multiply_add_ceiling(threads, options.precision), machine::matrix_kernels())
        }
        Device::Cuda(_) => (None, "CUDA"),
    };
    let ceiling = ceiling.map(|rate| rate / 1e9);
    let Size { name, vocab, batch, length, .. } = options.size;
    let device = device.with_precision(options.precision);
    let (needed, available) = (options.logit_bytes(), device.available_memory());
    if needed > available {
        return Err(Error::BenchMemory { batch, needed, available });
    }
    let (model, params) = Seq2Seq::build(&options.model(), vocab, vocab, &device, 1)?;
    let parameters = params.numel();
    let rows = sentences(options.size);
    let (checked, mut times) = match options.mode {
        Mode::Train => time_training(model, params, &rows, options)?,
        Mode::Greedy | Mode::Beam => time_search(&model, &params, &rows, options)?,
    };
    times.sort_by(f64::total_cmp);
    let (median, best) = (times[times.len() / 2], times[0]);
    let tokens = (batch * length) as f64;
    let gflop = options.flop() / 1e9;
    Ok(Measurement {
        peer: "seqweave",
        version: env!("CARGO_PKG_VERSION"),
        config: name,
        mode: options.mode,
        input_feed: options.input_feeding,
        dtype: options.precision.name(),
        device: device.describe(),
        threads,
        batch,
        beam: options.beam(),
        tokens_per_s: rounded(tokens / median),
        best_tokens_per_s: rounded(tokens / best),
        step_ms: rounded(median * 1e3),
        best_ms: rounded(best * 1e3),
        steps: times.len(),
        params: parameters,
        gflop: rounded(gflop),
        gflop_per_s: rounded(gflop / median),
        ceiling_gflop_per_s: ceiling.map(rounded),
        percent_of_ceiling: ceiling.map(|ceiling| rounded(100.0 * gflop / median / ceiling)),
        peak_rss_mb: machine::peak_memory().map(|bytes| bytes >> 20),
        kernels,
        checked,
    })
}

/// Two decimals are more than a measurement has.
fn rounded(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

/// Random sources of S - 1 and targets of T - 1 tokens; EOS makes them S and T.
fn sentences(size: Size) -> Vec<(Vec<u32>, Vec<u32>)> {
    let random = Philox { seed: 1, step: 0 };
    let ordinary = size.vocab as u32 - 4;
    let side = |op: u32, row: usize| {
        let word = |i: usize| 4 + random.block(op, (row * size.length + i) as u64)[0] % ordinary;
        (0..size.length - 1).map(word).collect()
    };
    (0..size.batch).map(|row| (side(0, row), side(1, row))).collect()
}

/// Seconds of each call of `work`, for `seconds` and at least three calls.
fn time(seconds: f64, mut work: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    let (mut times, began) = (Vec::new(), Instant::now());
    while times.len() < 3 || began.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(times)
}

/// Training steps on one batch. Checked: the first loss is that of a guess, ln V, and steps bring it down.
fn time_training(
    model: Seq2Seq,
    mut params: Params,
    rows: &[(Vec<u32>, Vec<u32>)],
    options: &BenchOptions,
) -> Result<(String, Vec<f64>)> {
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), &params)?;
    let batches = [Batch::from_rows(rows)?];
    let mut step = 0;
    let mut work = || {
        step += 1;
        let dropout = Philox { seed: 1, step };
        let word_dropout = WordDropout::NONE;
        let options = UpdateOptions { smoothing: 0.0, clip: Some(1.0), lr: 1e-3, word_dropout, dropout };
        match update(&model, &mut params, &mut optimizer, &batches, &options)? {
            Update::Done { sums, .. } => Ok(sums.xent().unwrap_or(f64::NAN)),
            Update::NotFinite { tensor } => Err(wrong("a finite step", format!("{tensor} is not finite"))),
        }
    };
    let guess = (options.size.vocab as f64).ln();
    let losses = [work()?, work()?, work()?];
    if (losses[0] / guess - 1.0).abs() > 0.05 || losses[2] >= losses[0] {
        return Err(wrong("losses that fall from ln V", format!("{losses:?} with ln V = {guess}")));
    }
    let checked = format!("loss {:.4}, {:.4} after two steps; ln V = {guess:.4}", losses[0], losses[2]);
    Ok((checked, time(options.seconds, || work().map(drop))?))
}

/// Searches over one batch. Checked: outputs are of full length, a sentence alone gets the same bits, and a score is that
/// of force-decoding.
fn time_search(
    model: &Seq2Seq,
    params: &Params,
    rows: &[(Vec<u32>, Vec<u32>)],
    options: &BenchOptions,
) -> Result<(String, Vec<f64>)> {
    let search = options.search();
    let sources: Vec<&[u32]> = rows.iter().map(|(source, _)| &source[..]).collect();
    let outputs = translate_batch(model, params, &sources, &search)?;
    let length = options.size.length;
    if let Some(output) = outputs.iter().find(|output| output[0].token_log_probs.len() != length) {
        let found = output[0].token_log_probs.len();
        return Err(wrong("outputs of full length", format!("{found} tokens instead of {length}")));
    }
    let first: &Hypothesis = &outputs[0][0];
    if translate_batch(model, params, &sources[..1], &search)?[0][0] != *first {
        return Err(wrong("a sentence alone to equal itself in the batch", "other bits".into()));
    }
    let forced = score_batch(model, params, &[(sources[0], &first.ids)])?[0].log_prob;
    if (forced - first.log_prob).abs() > 1e-5 * first.log_prob.abs().max(1.0) {
        return Err(wrong("the score of force-decoding", format!("{forced} and {}", first.log_prob)));
    }
    let checked = format!("full length; alone equals in the batch; forced score {forced:.4}");
    let work = || translate_batch(model, params, &sources, &search).map(drop).map_err(Error::from);
    Ok((checked, time(options.seconds, work)?))
}

fn wrong(expected: &'static str, found: String) -> Error {
    Error::Bench { expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: Size = Size { name: "tiny", emb: 8, hidden: 8, layers: 2, vocab: 23, batch: 3, length: 5 };

    #[test]
    fn every_mode_is_checked_and_timed() {
        for mode in [Mode::Train, Mode::Greedy, Mode::Beam] {
            let modes = Precision::ALL.map(|precision| (true, precision));
            for (input_feeding, precision) in modes.into_iter().chain([(false, Precision::F32)]) {
                let options =
                    BenchOptions { size: TINY, mode, beam: 2, input_feeding, precision, seconds: 0.0 };
                let measured = bench(&options, Device::cpu()).unwrap();
                assert!(measured.steps >= 3 && measured.tokens_per_s > 0.0, "{measured:?}");
                assert!(measured.best_ms <= measured.step_ms);
            }
        }
    }

    /// Figures that were counted by hand for the raced networks: 26.4 and 167 GFLOP a training step with input feeding.
    #[test]
    fn work_is_counted_as_elsewhere() {
        let work = |size| {
            let options = BenchOptions {
                size,
                mode: Mode::Train,
                beam: 5,
                input_feeding: true,
                precision: Precision::F32,
                seconds: 0.0,
            };
            options.flop() / 1e9
        };
        assert!((work(SIZES[0]) - 26.4).abs() < 0.3, "{}", work(SIZES[0]));
        assert!((work(SIZES[1]) - 167.0).abs() < 2.0, "{}", work(SIZES[1]));
    }
}
