//! The training loop: open or resume a run, make steps, validate, save, stop.
//!
//! Everything a step depends on is in [`TrainState`] and the model's files; whatever happens between two checkpoints is
//! a pure function of the first. So a run that was killed and started again ends in the same bits.

use crate::checkpoint::{self, Best, MetricRow, Pointer, TrainState};
use crate::config::Config;
use crate::dataset::Dataset;
use crate::event::{Event, Outcome, Sample, Started, StepReport, Validation};
use crate::feed::{Feed, FeedSource, Position};
use crate::run_folder::{EventLog, MetricsFile, RunFolder};
use crate::update::{Update, UpdateOptions, update};
use crate::{Error, EvaluateOptions, Evaluation, Result, evaluate};
use seqweave::store::Disk;
use seqweave::{ModelFolder, TranslateOptions, Translator};
use seqweave_data::{Pair, prefetch};
use seqweave_metrics::Metric;
use seqweave_nn::{Optimizer, Schedule};
use seqweave_seq2seq::Seq2Seq;
use seqweave_tensor::{Device, Philox};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Batches made ahead of the step that uses them.
const AHEAD: usize = 4;

/// A training run that is ready to go, or to go on.
pub struct Trainer {
    config: Config,
    run: RunFolder,
    translator: Translator,
    optimizer: Optimizer,
    schedule: Schedule,
    source: Arc<FeedSource>,
    dev: Vec<Pair>,
    metrics: Vec<Metric>,
    table: MetricsFile,
    log: EventLog,
    progress: Progress,
    total_steps: u64,
    started: Started,
    resumed: Option<Event>,
    config_hash: String,
    data_fingerprint: String,
}

/// Where the run stands; with weights, optimizer, schedule and metric table, all there is to resume from.
#[derive(Debug, Clone, PartialEq)]
struct Progress {
    step: u64,
    position: Position,
    best: Option<Best>,
    bad_validations: u64,
    bad_steps: u64,
    /// Training sums since the last validation.
    since_validation: Sums,
}

/// Sums over target tokens of the training data.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sums {
    nll: f64,
    count: u64,
    correct: u64,
}

impl Sums {
    fn add(&mut self, nll: f64, count: u64, correct: u64) {
        self.nll += nll;
        self.count += count;
        self.correct += correct;
    }

    fn xent(&self) -> Option<f64> {
        (self.count > 0).then(|| self.nll / self.count as f64)
    }

    fn acc(&self) -> Option<f64> {
        (self.count > 0).then(|| 100.0 * self.correct as f64 / self.count as f64)
    }
}

/// What to do with a run folder that is there already.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenOptions {
    /// Start over: remove the checkpoints of an earlier run in this folder.
    pub overwrite: bool,
}

impl Trainer {
    /// Opens the run folder `run`, reads the data, and builds the model, or goes on from the newest good checkpoint.
    ///
    /// # Errors
    /// Anything wrong with configuration, data or run folder; a checkpoint made with other settings or other data.
    pub fn open(config: Config, run: &Path, device: (Device, String), options: OpenOptions) -> Result<Trainer> {
        let run = RunFolder::open(run)?;
        if options.overwrite {
            checkpoint::remove_all(&Disk, run.root())?;
        }
        let data = Dataset::open(&config)?;
        let (config_hash, data_fingerprint) = (config.hash(), data.fingerprint());
        let (device, why) = device;
        let latest = checkpoint::load_latest(&Disk, run.root())?;
        let refused: Vec<String> =
            latest.refused.iter().map(|r| format!("{}: {}", r.folder.display(), r.error)).collect();
        let (folder, state) = match latest.checkpoint {
            Some(found) => {
                check_same(&found.folder, "settings", &found.state.config_hash, &config_hash)?;
                check_same(&found.folder, "training data", &found.state.data_fingerprint, &data_fingerprint)?;
                (ModelFolder::from_sealed(&found.files, &device)?, Some(found.state))
            }
            None if !refused.is_empty() => return Err(Error::NoGoodCheckpoint { run: run.root().into(), refused }),
            None => {
                let sizes = (data.source.vocab.len(), data.target.vocab.len());
                let (model, params) = Seq2Seq::build(&config.model, sizes.0, sizes.1, &device, config.seed)?;
                let generation = config.decode.clone();
                (ModelFolder { model, params, source: data.source, target: data.target, generation }, None)
            }
        };
        let source = Arc::new(FeedSource {
            examples: Arc::new(data.examples),
            plan: data.plan,
            seed: config.seed,
            accumulate: config.train.accumulate as usize,
        });
        let total_steps = planned_steps(&config, source.steps_per_epoch());
        let mut optimizer = Optimizer::new(&config.train.optimizer, &folder.params)?;
        let mut schedule = planned_schedule(&config, total_steps)?;
        let metrics = config.valid.metrics.clone();
        let mut table = checkpoint::MetricTable { columns: columns(&metrics), rows: Vec::new() };
        let mut progress = Progress::new();
        let mut resumed = None;
        if let Some(state) = state {
            optimizer.load_state(&state.optimizer)?;
            schedule.load_state(&state.schedule);
            progress = Progress::from_state(&state);
            resumed = Some(Event::Resumed { step: state.step, refused });
            table = state.metrics;
        }
        let parameters = folder.params.numel();
        let started = Started {
            run: run.root().to_owned(),
            device: why,
            threads: rayon::current_num_threads(),
            seed: config.seed,
            model: describe(&config),
            parameters,
            data: data.facts,
            total_steps,
        };
        run.write(&run.config_path(), &config.resolved()?)?;
        Ok(Trainer {
            table: run.metrics(table)?,
            log: run.event_log()?,
            translator: Translator::new(folder),
            dev: data.dev,
            config,
            run,
            optimizer,
            schedule,
            source,
            metrics,
            progress,
            total_steps,
            started,
            resumed,
            config_hash,
            data_fingerprint,
        })
    }

    /// The run folder.
    pub fn run_folder(&self) -> &Path {
        self.run.root()
    }

    /// Trains until all steps are made, nothing improves any more, `stop` is set, or too many steps in a row are not
    /// finite. Whatever the outcome, the last checkpoint holds the state it ended in.
    ///
    /// # Errors
    /// A checkpoint or log that cannot be written, data that cannot be read. Checkpoints made so far stay good.
    pub fn run(&mut self, on_event: &mut dyn FnMut(&Event), stop: &AtomicBool) -> Result<Outcome> {
        let clock = Instant::now();
        self.report(on_event, Event::Started(self.started.clone()))?;
        if let Some(resumed) = self.resumed.take() {
            self.report(on_event, resumed)?;
        }
        let outcome = self.train(on_event, stop, clock)?;
        let (step, seconds) = (self.progress.step, clock.elapsed().as_secs_f64());
        self.report(on_event, Event::Finished { outcome, step, seconds })?;
        Ok(outcome)
    }

    fn train(&mut self, on_event: &mut dyn FnMut(&Event), stop: &AtomicBool, clock: Instant) -> Result<Outcome> {
        if self.stopped_early() {
            return Ok(Outcome::StoppedEarly);
        }
        let mut feeds = prefetch(self.source.clone().from(self.progress.position), AHEAD)?;
        let mut window = Window::new();
        let mut saved = self.resumed_step();
        while !self.is_complete() {
            if stop.load(Ordering::Relaxed) {
                self.save_unless(saved, on_event)?;
                return Ok(Outcome::Interrupted);
            }
            let feed = feeds.next().expect("the data repeats for ever")?;
            self.step(&feed, &mut window, on_event)?;
            if self.progress.bad_steps >= self.config.train.max_bad_steps {
                self.save_unless(saved, on_event)?;
                return Ok(Outcome::Diverged);
            }
            let step = self.progress.step;
            if step.is_multiple_of(self.config.train.log_every) {
                let report = window.report(&self.progress, self.total_steps, clock);
                self.report(on_event, Event::Step(report))?;
                window = Window::new();
            }
            let validate = self.is_complete() || is_due(self.config.valid.every, step, feed.ends_epoch);
            let mut best = false;
            if validate {
                best = self.validate(on_event)?;
            }
            if validate || self.config.checkpoint.every > 0 && step.is_multiple_of(self.config.checkpoint.every) {
                self.save(best, on_event)?;
                saved = Some(step);
            }
            if validate && self.stopped_early() {
                return Ok(Outcome::StoppedEarly);
            }
        }
        Ok(Outcome::Completed)
    }

    /// One optimizer step over one feed.
    fn step(&mut self, feed: &Feed, window: &mut Window, on_event: &mut dyn FnMut(&Event)) -> Result<()> {
        let train = &self.config.train;
        let step = self.progress.step + 1;
        let options = UpdateOptions {
            smoothing: train.label_smoothing,
            clip: (train.clip > 0.0).then_some(train.clip),
            lr: self.schedule.lr(step),
            dropout: Philox { seed: self.config.seed, step },
        };
        let ModelFolder { model, params, .. } = self.translator.model_mut();
        let outcome = update(model, params, &mut self.optimizer, &feed.batches, &options)?;
        self.progress.step = step;
        self.progress.position = feed.next;
        match outcome {
            Update::Done { nll, count, correct, grad_norm } => {
                self.progress.bad_steps = 0;
                self.progress.since_validation.add(nll, count, correct);
                window.add(feed, (nll, count, correct), grad_norm, options.lr.into());
            }
            Update::NotFinite { tensor } => {
                self.progress.bad_steps += 1;
                let in_a_row = self.progress.bad_steps;
                self.report(on_event, Event::Skipped { step, tensor, in_a_row })?;
            }
        }
        Ok(())
    }

    /// Measures the model on the development data, writes a row of metrics, and returns whether it is the best so far.
    fn validate(&mut self, on_event: &mut dyn FnMut(&Event)) -> Result<bool> {
        let valid = &self.config.valid;
        let (step, epoch) = (self.progress.step, self.progress.position.epoch);
        let mut search = self.config.decode.clone();
        (search.beam, search.n_best) = (valid.beam as usize, 1);
        let translate = TranslateOptions { search, ..TranslateOptions::default() };
        let options = EvaluateOptions { translate, metrics: self.metrics.clone() };
        let evaluation = evaluate(&self.translator, &self.dev, &options)?;
        let best_by = valid.best_by;
        let score = evaluation.value(best_by);
        let sums = std::mem::take(&mut self.progress.since_validation);
        let lr = self.schedule.lr(step).into();
        let mut best = false;
        if let Some(score) = score {
            best = self.progress.best.is_none_or(|so_far| best_by.is_better(score, so_far.score));
            // The schedule minimises: a score that is better when higher is handed over with its sign turned.
            self.schedule.on_validation(if best_by.higher_is_better() { -score } else { score });
        }
        if best {
            self.progress.best = score.map(|score| Best { step, score });
            self.progress.bad_validations = 0;
        } else {
            self.progress.bad_validations += 1;
        }
        let scores: Vec<Option<f64>> = self.metrics.iter().map(|&metric| evaluation.value(metric)).collect();
        let mut values = vec![Some(lr), sums.xent(), sums.acc()];
        values.extend(&scores);
        values.push(Some(f64::from(u8::from(best))));
        self.table.push(MetricRow { step, epoch, values })?;
        let samples = self.samples(&evaluation);
        self.write_samples(step, &evaluation)?;
        let named = self.metrics.iter().zip(scores);
        self.report(
            on_event,
            Event::Validated(Validation {
                step,
                epoch: epoch + 1,
                scores: named.filter_map(|(metric, value)| Some((metric.to_string(), value?))).collect(),
                best_by: best_by.to_string(),
                best,
                since_best: self.progress.bad_validations,
                samples,
            }),
        )?;
        Ok(best)
    }

    fn samples(&self, evaluation: &Evaluation) -> Vec<Sample> {
        let shown = evaluation.answers.iter().take(self.config.valid.samples as usize);
        shown
            .map(|answer| Sample {
                source: answer.source.clone(),
                reference: answer.references[0].clone(),
                hypothesis: answer.output.clone(),
            })
            .collect()
    }

    fn write_samples(&self, step: u64, evaluation: &Evaluation) -> Result<()> {
        let mut text = String::new();
        for sample in self.samples(evaluation) {
            text.push_str(&format!(
                "source      {}\nreference   {}\nhypothesis  {}\n\n",
                sample.source, sample.reference, sample.hypothesis
            ));
        }
        self.run.write(&self.run.samples_path(step), &text)
    }

    /// Whether all epochs, or all steps, are made.
    fn is_complete(&self) -> bool {
        let train = &self.config.train;
        let reached = |limit: u64, now: u64| limit > 0 && now >= limit;
        reached(train.max_steps, self.progress.step) || reached(train.epochs, self.progress.position.epoch)
    }

    fn stopped_early(&self) -> bool {
        self.config.valid.patience > 0 && self.progress.bad_validations >= self.config.valid.patience
    }

    fn resumed_step(&self) -> Option<u64> {
        (self.progress.step > 0).then_some(self.progress.step)
    }

    fn save_unless(&mut self, saved: Option<u64>, on_event: &mut dyn FnMut(&Event)) -> Result<()> {
        if saved == Some(self.progress.step) { Ok(()) } else { self.save(false, on_event) }
    }

    /// Writes a checkpoint, points to it, and removes checkpoints nobody needs any more.
    fn save(&mut self, best: bool, on_event: &mut dyn FnMut(&Event)) -> Result<()> {
        let (step, run) = (self.progress.step, self.run.root());
        let files = self.translator.model().to_files()?;
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
        let path = checkpoint::save(&Disk, run, &self.state(), &files)?;
        // The order matters: a kill between any two of these leaves a run that resumes exactly.
        if best {
            checkpoint::set_pointer(&Disk, run, Pointer::Best, step)?;
        }
        checkpoint::set_pointer(&Disk, run, Pointer::Last, step)?;
        let best_step = self.progress.best.map(|best| checkpoint::folder_name(best.step));
        let keep: Vec<String> = best_step.into_iter().collect();
        checkpoint::prune(&Disk, run, self.config.checkpoint.keep_last as usize, &keep)?;
        self.report(on_event, Event::Saved { path })
    }

    fn state(&self) -> TrainState {
        let Progress { step, position, best, bad_validations, bad_steps, since_validation: sums } = self.progress;
        TrainState {
            step,
            epoch: position.epoch,
            next_batch: position.step,
            seed: self.config.seed,
            optimizer: self.optimizer.state(),
            schedule: self.schedule.state().clone(),
            best,
            bad_validations,
            bad_steps,
            running: vec![
                ("nll".to_owned(), sums.nll),
                ("count".to_owned(), sums.count as f64),
                ("correct".to_owned(), sums.correct as f64),
            ],
            metrics: self.table.table().clone(),
            config_hash: self.config_hash.clone(),
            data_fingerprint: self.data_fingerprint.clone(),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn report(&mut self, on_event: &mut dyn FnMut(&Event), event: Event) -> Result<()> {
        on_event(&event);
        let serde_json::Value::Object(mut fields) = serde_json::to_value(&event)? else {
            unreachable!("an event is a tagged object");
        };
        let name = fields.remove("event").and_then(|name| name.as_str().map(str::to_owned));
        self.log.push(name.as_deref().unwrap_or("event"), fields)
    }
}

impl Progress {
    fn new() -> Progress {
        Progress {
            step: 0,
            position: Position { epoch: 0, step: 0 },
            best: None,
            bad_validations: 0,
            bad_steps: 0,
            since_validation: Sums::default(),
        }
    }

    fn from_state(state: &TrainState) -> Progress {
        let running = |name: &str| state.running.iter().find(|(n, _)| n == name).map_or(0.0, |(_, value)| *value);
        Progress {
            step: state.step,
            position: Position { epoch: state.epoch, step: state.next_batch },
            best: state.best,
            bad_validations: state.bad_validations,
            bad_steps: state.bad_steps,
            since_validation: Sums {
                nll: running("nll"),
                count: running("count") as u64,
                correct: running("correct") as u64,
            },
        }
    }
}

/// What happened since the last progress report.
struct Window {
    since: Instant,
    sums: Sums,
    src_tokens: u64,
    tgt_tokens: u64,
    grad_norm: f64,
    lr: f64,
}

impl Window {
    fn new() -> Window {
        Window {
            since: Instant::now(),
            sums: Sums::default(),
            src_tokens: 0,
            tgt_tokens: 0,
            grad_norm: 0.0,
            lr: 0.0,
        }
    }

    fn add(&mut self, feed: &Feed, (nll, count, correct): (f64, u64, u64), grad_norm: f64, lr: f64) {
        self.sums.add(nll, count, correct);
        self.src_tokens += feed.src_tokens;
        self.tgt_tokens += feed.tgt_tokens;
        (self.grad_norm, self.lr) = (grad_norm, lr);
    }

    fn report(&self, progress: &Progress, total: u64, clock: Instant) -> StepReport {
        let seconds = self.since.elapsed().as_secs_f64().max(1e-9);
        let xent = self.sums.xent().unwrap_or(f64::NAN);
        StepReport {
            step: progress.step,
            total,
            epoch: progress.position.epoch + 1,
            acc: self.sums.acc().unwrap_or(f64::NAN),
            ppl: xent.exp(),
            xent,
            lr: self.lr,
            grad_norm: self.grad_norm,
            src_tok_s: self.src_tokens as f64 / seconds,
            tgt_tok_s: self.tgt_tokens as f64 / seconds,
            seconds: clock.elapsed().as_secs_f64(),
        }
    }
}

/// Steps the run will make: exact for a step limit, to a few steps for an epoch limit.
fn planned_steps(config: &Config, steps_per_epoch: u64) -> u64 {
    let limits = [config.train.max_steps, config.train.epochs * steps_per_epoch];
    limits.into_iter().filter(|&limit| limit > 0).min().unwrap_or(u64::MAX)
}

/// The schedule of a run of `total_steps` steps, which is the length of a cosine unless it has its own.
fn planned_schedule(config: &Config, total_steps: u64) -> Result<Schedule> {
    let mut planned = config.train.schedule.clone();
    if planned.total == 0 {
        planned.total = total_steps;
    }
    Ok(Schedule::new(&planned, config.train.optimizer.lr)?)
}

/// Every `every` steps, or at the end of each epoch if that is zero.
fn is_due(every: u64, step: u64, ends_epoch: bool) -> bool {
    if every == 0 { ends_epoch } else { step.is_multiple_of(every) }
}

/// The columns of `metrics.tsv` after step and epoch.
fn columns(metrics: &[Metric]) -> Vec<String> {
    let fixed = ["lr", "train_xent", "train_acc"].map(str::to_owned);
    fixed.into_iter().chain(metrics.iter().map(Metric::to_string)).chain(["best".to_owned()]).collect()
}

fn check_same(folder: &Path, what: &'static str, found: &str, expected: &str) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::OtherRun { folder: folder.into(), what, found: found.into(), expected: expected.into() })
}

/// The model in one line: `LSTM 1×256 bi → LSTM 1×256, attention general`.
fn describe(config: &Config) -> String {
    let model = &config.model;
    let (encoder, decoder) = (&model.encoder, &model.decoder);
    let cell = format!("{:?}", model.cell).to_uppercase();
    let attention = serde_json::to_value(model.attention).unwrap_or_default();
    format!(
        "{cell} {}×{}{} → {cell} {}×{}{}, attention {}",
        encoder.layers,
        model.hidden,
        if encoder.bidirectional { " bidirectional" } else { "" },
        decoder.layers,
        model.hidden,
        if decoder.input_feeding { " with input feeding" } else { "" },
        attention.as_str().unwrap_or_default(),
    )
}
