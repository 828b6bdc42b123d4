//! The training loop: open or resume a run, make steps, validate, save, stop.
//!
//! Everything a step depends on is in [`TrainState`] and the model's files; whatever happens between two checkpoints is
//! a pure function of the first. So a run that was killed and started again ends in the same bits.

use crate::checkpoint::{self, Best, Checkpoint, MetricRow, Pointer, TrainState};
use crate::config::{Config, Problem, ProblemKind, Problems, Sources};
use crate::dataset::Dataset;
use crate::event::{Event, Outcome, Sample, Started, Validation};
use crate::feed::{Feed, FeedSource};
use crate::progress::{Progress, Window, decimal};
use crate::run_folder::{EventLog, MetricsFile, RunFolder};
use crate::update::{Update, UpdateOptions, update};
use crate::{Error, EvaluateOptions, Evaluation, Result, evaluate};
use seqweave::store::Disk;
use seqweave::{ModelFolder, TranslateOptions, Translator};
use seqweave_data::{Pair, prefetch};
use seqweave_metrics::{Metric, TextOptions};
use seqweave_nn::{Optimizer, ParamsBuilder, Schedule, ScheduleKind};
use seqweave_seq2seq::Seq2Seq;
use seqweave_tensor::{Device, Philox, Precision, machine};
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

/// What to do with a run folder that is there already.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenOptions {
    /// Start over: remove the checkpoints, samples and logs of an earlier run in this folder. They go when all else is
    /// in order, so that a mistake in the configuration or the data costs nothing.
    pub overwrite: bool,
}

impl Trainer {
    /// Opens the run folder `run`, reads the data, and builds the model, or goes on from the newest good checkpoint.
    ///
    /// # Errors
    /// Anything wrong with configuration, data or run folder; a checkpoint made with other settings or other data; a
    /// model that the memory does not hold.
    pub fn open(
        config: Config,
        run: &Path,
        device: (Device, String),
        options: OpenOptions,
    ) -> Result<Trainer> {
        let resolved = config.resolved()?;
        let run = RunFolder::open(run)?;
        let mut data = Dataset::open(&config)?;
        let (config_hash, data_fingerprint) = (settings_hash(&config), data.fingerprint());
        let (device, why) = device;
        let sizes = (data.source.vocab.len(), data.target.vocab.len());
        let mut builder = ParamsBuilder::new();
        let model = Seq2Seq::new(&config.model, sizes.0, sizes.1, &mut builder.root())?;
        // Value, two layouts of it, gradient and the optimizer's vectors; while a checkpoint is written, value and vectors
        // once more.
        builder.check_memory(&device, 5 + 2 * config.train.optimizer.vectors().len())?;
        let (found, refused) = if options.overwrite { (None, Vec::new()) } else { newest(&run)? };
        let (folder, state) = match found {
            Some(found) => {
                check_settings(&run, &found, &config)?;
                check_same(&found.folder, "training data", &found.state.data_fingerprint, &data_fingerprint)?;
                let mut folder = ModelFolder::from_sealed(&found.files, &device)?;
                // How to decode may be changed between two starts; it decides no weight.
                folder.generation = config.decode.clone();
                (folder, Some(found.state))
            }
            None => {
                let params = builder.build(&device, config.seed)?;
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
        let total_steps = planned_steps(&config, source.steps(0));
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
            source.check(progress.position)?;
            resumed = Some(Event::Resumed { step: state.step, refused });
            table = state.metrics;
            // A kill between a save and its pointers leaves these behind, and a refused checkpoint must not be the best.
            checkpoint::point(&Disk, run.root(), Pointer::Best, state.best.map(|best| best.step))?;
            checkpoint::point(&Disk, run.root(), Pointer::Last, Some(state.step))?;
        }
        if config.valid.max_sentences > 0 {
            data.dev.truncate(config.valid.max_sentences as usize);
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
        if options.overwrite {
            run.start_over()?;
        }
        run.write(&run.config_path(), &resolved)?;
        if !data.test.is_empty() {
            let lines = data.test.iter().map(|pair| format!("{}\t{}\n", pair.src, pair.tgt));
            run.write(&run.test_path(), &lines.collect::<String>())?;
        }
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

    /// What the run will work with.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// The run folder.
    pub fn run_folder(&self) -> &Path {
        self.run.root()
    }

    /// Trains until all steps are made, nothing improves any more, `stop` is set, or too many steps in a row are not
    /// finite. Whatever the outcome, the last checkpoint holds the state it ended in, unless its weights are not finite.
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

    fn train(
        &mut self,
        on_event: &mut dyn FnMut(&Event),
        stop: &AtomicBool,
        clock: Instant,
    ) -> Result<Outcome> {
        if self.stopped_early() {
            return Ok(Outcome::StoppedEarly);
        }
        let mut feeds = prefetch(self.source.clone().from(self.progress.position), AHEAD)?;
        let mut window = Window::new();
        let mut saved = self.resumed_step();
        let outcome = loop {
            if self.is_complete() {
                break Outcome::Completed;
            }
            if stop.load(Ordering::Relaxed) {
                break Outcome::Interrupted;
            }
            let feed = feeds.next().expect("the data repeats for ever")?;
            self.step(&feed, &mut window, on_event)?;
            if self.progress.bad_steps >= self.config.train.max_bad_steps {
                break Outcome::Diverged;
            }
            let step = self.progress.step;
            if step.is_multiple_of(self.config.train.log_every) {
                let report = window.report(step, feed.epoch, self.total_steps, clock);
                self.report(on_event, Event::Step(report))?;
                window = Window::new();
            }
            let best_before = self.progress.best;
            let validate = self.is_complete() || is_due(self.config.valid.every, step, feed.ends_epoch);
            let best = validate && self.validate(feed.epoch, on_event)?;
            let due = self.config.checkpoint.every > 0 && step.is_multiple_of(self.config.checkpoint.every);
            // Steps that are left out change no weight: saving the same weights again would only push out good ones.
            let is_new = best || self.progress.bad_steps == 0;
            if (validate || due) && is_new {
                if self.save(best, on_event)? {
                    saved = Some(step);
                } else {
                    // The best checkpoint is one that is there.
                    self.progress.best = best_before;
                }
            }
            if validate && self.stopped_early() {
                break Outcome::StoppedEarly;
            }
        };
        if saved != Some(self.progress.step) {
            self.save(false, on_event)?;
        }
        Ok(outcome)
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
                window.add(feed, (nll, count, correct), grad_norm, decimal(options.lr));
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
    fn validate(&mut self, epoch: u64, on_event: &mut dyn FnMut(&Event)) -> Result<bool> {
        let step = self.progress.step;
        let (evaluation, samples) = match self.measure() {
            Ok(measured) => measured,
            // A model that gives NaN is no good, but whether to go on is for the steps in a row to say.
            Err(error) if error.is_not_a_number() => {
                let message = format!("validation at step {step}: {error}");
                self.report(on_event, Event::Warning { message })?;
                (Evaluation::default(), Vec::new())
            }
            Err(error) => return Err(error),
        };
        let best_by = self.config.valid.best_by;
        let score = evaluation.value(best_by);
        let sums = std::mem::take(&mut self.progress.since_validation);
        let lr = decimal(self.schedule.lr(step));
        let mut best = false;
        if let Some(score) = score {
            best = match self.progress.best {
                Some(so_far) => best_by.is_better(score, so_far.score),
                None => !score.is_nan(),
            };
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
        self.write_samples(step, &samples)?;
        let named = self.metrics.iter().zip(scores);
        self.report(
            on_event,
            Event::Validated(Validation {
                step,
                epoch,
                scores: named.filter_map(|(metric, value)| Some((metric.to_string(), value?))).collect(),
                best_by: best_by.to_string(),
                best,
                since_best: self.progress.bad_validations,
                samples,
            }),
        )?;
        Ok(best)
    }

    /// The scores on the development data, and what the model makes of the first few sentences.
    fn measure(&self) -> Result<(Evaluation, Vec<Sample>)> {
        let valid = &self.config.valid;
        let mut search = self.config.decode.clone();
        (search.beam, search.n_best) = (valid.beam as usize, 1);
        let translate = TranslateOptions { search, ..TranslateOptions::default() };
        let options =
            EvaluateOptions { translate, metrics: self.metrics.clone(), text: TextOptions::default() };
        let evaluation = evaluate(&self.translator, &self.dev, &options)?;
        let shown = valid.samples as usize;
        if !evaluation.answers.is_empty() {
            let samples = evaluation.answers.iter().take(shown).map(|answer| Sample {
                source: answer.source.clone(),
                reference: answer.references[0].clone(),
                hypothesis: answer.output.clone(),
            });
            return Ok((evaluation.clone(), samples.collect()));
        }
        // No metric needed outputs, so only those to be shown are made.
        let shown = &self.dev[..shown.min(self.dev.len())];
        let sources: Vec<&str> = shown.iter().map(|pair| pair.src.as_str()).collect();
        let outputs = self.translator.translate(&sources, &options.translate)?;
        let samples = shown.iter().zip(outputs).map(|(pair, output)| Sample {
            source: pair.src.clone(),
            reference: pair.tgt.clone(),
            hypothesis: output.text().to_owned(),
        });
        Ok((evaluation, samples.collect()))
    }

    fn write_samples(&self, step: u64, samples: &[Sample]) -> Result<()> {
        if samples.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for Sample { source, reference, hypothesis } in samples {
            text.push_str(&format!(
                "source      {source}\nreference   {reference}\nhypothesis  {hypothesis}\n\n"
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

    /// Writes a checkpoint, points to it, and removes checkpoints nobody needs any more; `false` if the weights are not
    /// finite and therefore not saved.
    fn save(&mut self, best: bool, on_event: &mut dyn FnMut(&Event)) -> Result<bool> {
        let (step, run) = (self.progress.step, self.run.root());
        let files = match self.translator.model().to_files() {
            Ok(files) => files,
            // Weights that are not finite are of no use to anyone; the last good checkpoint stays the last.
            Err(error @ seqweave::Error::NonFinite { .. }) => {
                let message = format!("no checkpoint of step {step}: {error}");
                self.report(on_event, Event::Warning { message })?;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
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
        self.report(on_event, Event::Saved { path })?;
        Ok(true)
    }

    fn state(&self) -> TrainState {
        let Progress { step, position, best, bad_validations, bad_steps, since_validation: sums } =
            self.progress;
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
    if planned.kind == ScheduleKind::Cosine && planned.warmup >= planned.total {
        let rule =
            format!("all the run has {total_steps} steps, at the last of which the cosine ends: take fewer");
        let kind = ProblemKind::Conflict { found: planned.warmup.to_string(), rule };
        let problem = Problem { key: "train.schedule.warmup".into(), kind, place: None };
        return Err(Error::Config(Problems(vec![problem])));
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

/// The newest checkpoint that verifies, and newer ones with the reasons why they do not.
fn newest(run: &RunFolder) -> Result<(Option<Checkpoint>, Vec<String>)> {
    let latest = checkpoint::load_latest(&Disk, run.root())?;
    let refused: Vec<String> = latest
        .refused
        .iter()
        .map(|r| format!("{}: {}", r.folder.display(), r.error.without_help()))
        .collect();
    if latest.checkpoint.is_none() && !refused.is_empty() {
        return Err(Error::NoGoodCheckpoint { run: run.root().into(), refused });
    }
    Ok((latest.checkpoint, refused))
}

/// Refuses a checkpoint that was made with other settings, and names them if the run folder still has them.
fn check_settings(run: &RunFolder, found: &Checkpoint, config: &Config) -> Result<()> {
    let (hash, expected) = (&found.state.config_hash, settings_hash(config));
    let sources = Sources { files: vec![run.config_path()], sets: Vec::new() };
    match Config::load(&sources) {
        Ok(then) if *hash != expected && settings_hash(&then.value) == *hash => {
            let (then, now) = then.value.differences(config);
            check_same(&found.folder, "settings", &then.join(", "), &now.join(", "))
        }
        _ => check_same(&found.folder, "settings", hash, &expected),
    }
}

/// [`Config::hash`], and in bf16 and f32-fast how this machine makes its products: another way gives other last bits, so a
/// run that went on with it would not end as if it had not been interrupted.
fn settings_hash(config: &Config) -> String {
    match Precision::from(config.train.precision) {
        Precision::F32 => config.hash(),
        Precision::F32Fast => {
            format!("{}, f32-fast products {}", config.hash(), machine::f32_fast_kernels())
        }
        Precision::Bf16 => format!("{}, bf16 products {}", config.hash(), machine::bf16_kernels()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use seqweave_testkit::Toy;

    /// A trainer on a toy task in `folder`, whose model has every weight changed by `change` before the first step.
    fn planted(folder: &Path, settings: &str, change: impl Fn(usize, f32) -> f32) -> Trainer {
        for (name, pairs, seed) in [("train.tsv", 60, 1), ("dev.tsv", 5, 2)] {
            Toy::reverse().write_tsv(folder.join(name), pairs, seed).unwrap();
        }
        let base = "
            data = { train = 'train.tsv', dev = 'dev.tsv', src.level = 'char', tgt.level = 'char' }
            model = { emb = 8, hidden = 12, dropout = 0.0 }
            run.device = 'cpu'
        ";
        let config = Config::from_toml("base.toml", &format!("{base}{settings}"), folder).unwrap().value;
        let device = (Device::cpu(), "for a test".to_owned());
        let mut trainer = Trainer::open(config, &folder.join("run"), device, OpenOptions::default()).unwrap();
        let params = &mut trainer.translator.model_mut().params;
        let weights = params.values().to_vec().into_iter().enumerate().map(|(i, x)| change(i, x));
        let weights: Vec<f32> = weights.collect();
        params.values_mut().unwrap().copy_from_slice(&weights).unwrap();
        trainer
    }

    fn run(trainer: &mut Trainer) -> Outcome {
        trainer.run(&mut |_| {}, &AtomicBool::new(false)).unwrap()
    }

    #[test]
    fn a_run_without_one_good_step_leaves_the_weights_it_began_with() {
        let diverging = "train.max_bad_steps = 3";
        let early = "valid = { every = 1, patience = 2 }\ntrain.max_bad_steps = 100";
        for (settings, outcome) in [(diverging, Outcome::Diverged), (early, Outcome::StoppedEarly)] {
            let folder = tempfile::tempdir().unwrap();
            // Finite, and yet no loss can be computed from them.
            let mut trainer = planted(folder.path(), settings, |_, x| 3e38_f32.copysign(x));
            let began = trainer.translator.model().params.values().to_vec();
            assert_eq!(run(&mut trainer), outcome);
            assert!(trainer.progress.bad_steps == trainer.progress.step, "a step was good");
            let left = ModelFolder::open(&folder.path().join("run"), &Device::cpu()).unwrap();
            assert_eq!(left.params.values().to_vec(), began, "{outcome:?}");
        }
    }

    #[test]
    fn the_best_checkpoint_is_never_one_that_could_not_be_saved() {
        let folder = tempfile::tempdir().unwrap();
        // The first weight belongs to the padding, which no sentence looks at: the scores are good, the weights not.
        let change = |i, x| if i == 0 { f32::INFINITY } else { x };
        let mut trainer = planted(folder.path(), "train.max_steps = 1", change);
        assert_eq!(run(&mut trainer), Outcome::Completed);
        assert!(trainer.table.table().rows[0].values.last().unwrap() == &Some(1.0), "it was the best so far");
        assert_eq!(checkpoint::list(&Disk, trainer.run_folder()).unwrap(), [""; 0]);
        assert_eq!(checkpoint::pointer(&Disk, trainer.run_folder(), Pointer::Best).unwrap(), None);
        assert_eq!(trainer.progress.best, None);
    }
}
