//! Trains an LSTM to tell the parity of a bit string: layers, optimizer and schedule, nothing above them.
//!
//! Parity needs memory over the whole sequence: flipping any bit flips the answer. The net is trained on lengths up to
//! 12 and then asked about lengths up to 24.
//!
//! Run with `cargo run --release -p seqweave-nn --example train_lstm`.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seqweave_autograd::{self as ag, CrossEntropyStats, Tape, Var};
use seqweave_nn::{
    Ctx, Embedding, Linear, Optimizer, OptimizerConfig, ParamsBuilder, Recurrent, RecurrentConfig, Result,
    Schedule, ScheduleConfig, ScheduleKind, Scope,
};
use seqweave_tensor::{Device, Float, Ids};

const BATCH: usize = 64;
const STEPS: u64 = 300;
const HIDDEN: usize = 24;

/// Bits → embedding → LSTM → two classes.
struct Parity {
    embedding: Embedding,
    lstm: Recurrent,
    output: Linear,
}

impl Parity {
    fn new(scope: &mut Scope<'_>) -> Result<Self> {
        let config = RecurrentConfig { input: 4, hidden: HIDDEN, ..Default::default() };
        Ok(Self {
            embedding: Embedding::new(&mut scope.sub("embedding"), 2, config.input, None),
            lstm: Recurrent::new(&mut scope.sub("lstm"), &config)?,
            output: Linear::new(&mut scope.sub("output"), HIDDEN, 2),
        })
    }

    /// bits: [T,B], lens: [B], parity: [B] → mean cross entropy.
    fn loss(&self, cx: &Ctx<'_>, bits: &Ids, lens: &Ids, parity: &Ids) -> Result<(Var, CrossEntropyStats)> {
        let x = self.embedding.forward(cx, bits)?;
        let (_, state) = self.lstm.forward(cx, &x, Some(lens), None)?;
        let logits = self.output.forward(cx, &state.cell(0, 0, 1).h)?;
        Ok(ag::cross_entropy(&logits, parity, u32::MAX, 0.0, 1.0 / parity.numel() as Float)?)
    }
}

/// A batch of bit strings of 1 to `longest` bits, padded with zeros, and their parities.
fn batch(rng: &mut ChaCha8Rng, longest: usize) -> Result<(Ids, Ids, Ids)> {
    let lens: Vec<usize> = (0..BATCH).map(|_| rng.random_range(1..=longest)).collect();
    let mut bits = vec![0; longest * BATCH];
    let mut parity = vec![0; BATCH];
    for (b, &len) in lens.iter().enumerate() {
        for t in 0..len {
            let bit = rng.random_range(0..2u32);
            bits[t * BATCH + b] = bit;
            parity[b] ^= bit;
        }
    }
    let lens = lens.into_iter().map(|len| len as u32).collect();
    Ok((Ids::new(bits, [longest, BATCH])?, Ids::list(lens), Ids::list(parity)))
}

fn main() -> Result<()> {
    let mut builder = ParamsBuilder::new();
    let model = Parity::new(&mut builder.root())?;
    let mut params = builder.build(&Device::cpu(), 1)?;
    println!("{} parameters in {} tensors", params.numel(), params.len());

    let config = OptimizerConfig { lr: 0.02, ..Default::default() };
    let mut optimizer = Optimizer::new(&config, &params)?;
    let cosine =
        ScheduleConfig { kind: ScheduleKind::Cosine, warmup: 20, total: STEPS, ..Default::default() };
    let schedule = Schedule::new(&cosine, config.lr)?;
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for step in 1..=STEPS {
        let (bits, lens, parity) = batch(&mut rng, 12)?;
        let tape = Tape::new();
        let (loss, stats) = model.loss(&Ctx::train(&params, tape.clone(), None), &bits, &lens, &parity)?;
        params.zero_grad()?;
        tape.backward(&loss, Some(params.grads_mut()))?;
        optimizer.step(&mut params, schedule.lr(step), Some(1.0))?;
        if step % 50 == 0 {
            let accuracy = 100.0 * stats.correct()? as f64 / stats.count as f64;
            println!(
                "step {step}/{STEPS}; acc: {accuracy:.1}; xent: {:.4}",
                stats.nll()? / stats.count as f64
            );
        }
    }

    let (mut correct, mut count) = (0, 0);
    for _ in 0..20 {
        let (bits, lens, parity) = batch(&mut rng, 24)?;
        let (_, stats) = model.loss(&Ctx::infer(&params), &bits, &lens, &parity)?;
        correct += stats.correct()?;
        count += stats.count;
    }
    println!("strings up to twice as long: {:.1} % right", 100.0 * correct as f64 / count as f64);
    Ok(())
}
