//! The training loop: open or resume a run, make steps, validate, save, stop.
//!
//! Everything a step depends on is in [`TrainState`] and the model's files; whatever happens between two checkpoints is
//! a pure function of the first. So a run that was killed and started again ends in the same bits.

use crate::checkpoint::{self, Best, MetricRow, Pointer, TrainState};
use crate::choice;
use crate::config::Config;
use crate::dataset::Dataset;
use crate::describe::{describe, describe_machine};
use crate::event::{Event, Outcome, Sample, Started, Validation};
use crate::feed::{Feed, FeedSource};
use crate::initial::Initial;
use crate::plan::{Sizes, check_memory, is_due, planned_model, planned_schedule, planned_steps};
use crate::progress::{Progress, Window, decimal};
use crate::resume::{check_same, check_settings, newest, restore_weights, run_hash};
use crate::run_folder::{EventLog, MetricsFile, RunFolder};
use crate::tensorboard::Tensorboard;
use crate::update::{Update, UpdateOptions, update};
use crate::word_dropout::WordDropout;
use crate::{EvaluateOptions, Evaluation, Result, evaluate};
use seqweave::store::Disk;
use seqweave::{ModelFolder, TranslateOptions, Translator};
use seqweave_data::{Pair, prefetch};
use seqweave_metrics::{Metric, TextOptions};
use seqweave_nn::{MovingAverage, Optimizer, Schedule};
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
    run: Arc<RunFolder>,
    translator: Translator,
    optimizer: Optimizer,
    /// The mean of the weights, and of the model's weights while it stands in for them.
    average: Option<MovingAverage>,
    schedule: Schedule,
    source: Arc<FeedSource>,
    dev: Vec<Pair>,
    metrics: Vec<Metric>,
    table: MetricsFile,
    log: EventLog,
    board: Option<Tensorboard>,
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
        let run = Arc::new(RunFolder::open(run)?);
        let opened = Trainer::open_in(config, &resolved, run.clone(), device, options);
        if opened.is_err() {
            run.abandon();
        }
        opened
    }

    fn open_in(
        config: Config,
        resolved: &str,
        run: Arc<RunFolder>,
        (device, why): (Device, String),
        options: OpenOptions,
    ) -> Result<Trainer> {
        let (found, refused) = if options.overwrite { (None, Vec::new()) } else { newest(run.root())? };
        if let Some(found) = &found {
            check_settings(run.root(), found, &config)?;
        }
        let initial = match (&config.train.init_from, &found) {
            (None, _) => None,
            (Some(path), None) => Some(Initial::open(path)?),
            // What the run started from is in its checkpoint, and may have been moved or trained further since.
            (Some(_), Some(found)) => Some(Initial::resumed(found)?),
        };
        let config_hash = match &found {
            None => run_hash(&config, initial.as_ref())?,
            Some(found) => found.state.config_hash.clone(),
        };
        let mut data = Dataset::open(&config, initial.as_ref().map(Initial::known))?;
        let data_fingerprint = data.fingerprint();
        let (source, target) = (&data.source, &data.target);
        let sizes = Sizes { src: source.vocab.len(), tags: source.tags(), tgt: target.vocab.len() };
        let (model, builder) = planned_model(&config, sizes)?;
        check_memory(&config, &builder, &device)?;
        let (mut folder, state) = match found {
            Some(found) => {
                check_same(&found.folder, "training data", &found.state.data_fingerprint, &data_fingerprint)?;
                let mut folder = ModelFolder::from_sealed(&found.files, &device)?;
                // How to decode may be changed between two starts; it decides no weight.
                folder.generation = config.decode.clone();
                (folder, Some(found.state))
            }
            None => {
                let mut params = builder.build(&device, config.seed)?;
                if let Some(initial) = initial {
                    let facts = initial.give(&mut params, &data.source, &data.target)?;
                    data.facts.splice(0..0, facts);
                }
                let generation = config.decode.clone();
                (ModelFolder { model, params, source: data.source, target: data.target, generation }, None)
            }
        };
        let source = Arc::new(FeedSource {
            examples: data.examples,
            resampler: data.resampler,
            plan: data.plan,
            seed: config.seed,
            accumulate: config.train.accumulate as usize,
        });
        folder.params.freeze(&config.train.freeze)?;
        let total_steps = planned_steps(&config, &source)?;
        let mut optimizer = Optimizer::new(&config.train.optimizer, &folder.params)?;
        let mut schedule = planned_schedule(&config, total_steps)?;
        let metrics = config.valid.metrics.clone();
        let mut table = checkpoint::MetricTable { columns: columns(&metrics), rows: Vec::new() };
        let mut progress = Progress::new();
        let mut resumed = None;
        let average = match config.train.ema {
            0.0 => None,
            decay => Some(MovingAverage::new(decay, &folder.params)?),
        };
        if let Some(state) = state {
            if average.is_some() {
                // The model of a checkpoint is the mean; what goes on to be trained is beside it.
                restore_weights(&mut folder.params, state.trained.as_deref().unwrap_or_default())?;
            }
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
        let frozen = folder.params.frozen_numel();
        if frozen > 0 {
            let patterns = config.train.freeze.join(", ");
            data.facts.push(format!("frozen: {frozen} of {parameters} parameters, those named {patterns}"));
        }
        let started = Started {
            run: run.root().to_owned(),
            device: why,
            threads: rayon::current_num_threads(),
            seed: config.seed,
            model: describe(&config),
            parameters,
            data: data.facts,
            data_fingerprint: data_fingerprint.clone(),
            config_hash: config_hash.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            machine: describe_machine(),
            total_steps,
        };
        if options.overwrite {
            run.start_over()?;
        }
        run.write(&run.config_path(), resolved)?;
        if !data.test.is_empty() {
            run.write_test(&data.test, config.data.features.is_some())?;
        }
        let board = match config.run.tensorboard {
            true => Some(Tensorboard::open(&run.tensorboard_path(), progress.step)?),
            false => None,
        };
        Ok(Trainer {
            table: run.metrics(table)?,
            log: run.event_log()?,
            board,
            translator: Translator::new(folder),
            dev: data.dev,
            config,
            run,
            optimizer,
            average,
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

    /// The step from which this training would go on in the run folder `run`, if that has a checkpoint; nothing is changed.
    ///
    /// # Errors
    /// As [`Trainer::open`] for a checkpoint that was made with other settings or other data, or where none is good.
    pub fn would_go_on(&self, run: &Path) -> Result<Option<u64>> {
        let (Some(found), _) = newest(run)? else { return Ok(None) };
        check_settings(run, &found, &self.config)?;
        let (then, now) = (&found.state.data_fingerprint, &self.data_fingerprint);
        check_same(&found.folder, "training data", then, now)?;
        Ok(Some(found.state.step))
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
            // A kill between a save and this leaves one too many, for good if that save was the last.
            self.prune()?;
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
        let mut feeds = prefetch(self.source.clone().from(self.progress.position)?, AHEAD)?;
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

    fn word_dropout(&self) -> WordDropout {
        let source = &self.translator.model().source;
        let first_tag = (source.vocab.len() - source.tags()) as u32;
        WordDropout { p: self.config.train.word_dropout, first_tag }
    }

    /// One optimizer step over one feed.
    fn step(&mut self, feed: &Feed, window: &mut Window, on_event: &mut dyn FnMut(&Event)) -> Result<()> {
        let train = &self.config.train;
        let step = self.progress.step + 1;
        let options = UpdateOptions {
            smoothing: train.label_smoothing,
            clip: (train.clip > 0.0).then_some(train.clip),
            lr: self.schedule.lr(step),
            word_dropout: self.word_dropout(),
            dropout: Philox { seed: self.config.seed, step },
        };
        let ModelFolder { model, params, .. } = self.translator.model_mut();
        let outcome = update(model, params, &mut self.optimizer, &feed.batches, &options)?;
        self.progress.step = step;
        self.progress.position = feed.next;
        match outcome {
            Update::Done { sums, grad_norm } => {
                if let Some(average) = &mut self.average {
                    average.update(params, self.optimizer.steps())?;
                }
                self.progress.bad_steps = 0;
                self.progress.since_validation.add(&sums);
                window.add(feed, &sums, grad_norm, decimal(options.lr));
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
        let (evaluation, samples) = match self.averaged(|trainer| trainer.measure()) {
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
        (search.beam, search.n_best, search.sampling.on) = (valid.beam as usize, 1, false);
        let translate = TranslateOptions { search, ..TranslateOptions::default() };
        let text = TextOptions { tok: valid.tok, ..TextOptions::default() };
        let options = EvaluateOptions { translate, metrics: self.metrics.clone(), text };
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
        self.averaged(|trainer| trainer.write(best, on_event))
    }

    /// Does `work` with the moving average, where there is one, as the weights of the model.
    fn averaged<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.swap_average()?;
        let done = work(self);
        self.swap_average()?;
        done
    }

    fn swap_average(&mut self) -> Result<()> {
        let params = &mut self.translator.model_mut().params;
        Ok(self.average.as_mut().map_or(Ok(()), |average| average.swap(params))?)
    }

    /// [`Trainer::save`] of the model as it is now; the weights that are trained stand in the place of their average.
    fn write(&mut self, best: bool, on_event: &mut dyn FnMut(&Event)) -> Result<bool> {
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
        self.prune()?;
        self.report(on_event, Event::Saved { path })?;
        Ok(true)
    }

    /// Removes the checkpoints nobody needs any more.
    fn prune(&self) -> Result<()> {
        let run = self.run.root();
        // A validation whose checkpoint was not saved takes nobody's place.
        let there = checkpoint::list(&Disk, run)?;
        let ranked = choice::ranked(self.table.table(), self.config.valid.best_by);
        let ranked = ranked.into_iter().filter(|&step| there.contains(&checkpoint::folder_name(step)));
        let best = ranked.take(self.config.checkpoint.keep_best as usize);
        // The best is that of the pointer, also where a row of the same score came first and was not saved.
        let keep: Vec<String> =
            best.chain(self.progress.best.map(|best| best.step)).map(checkpoint::folder_name).collect();
        checkpoint::prune(&Disk, run, self.config.checkpoint.keep_last as usize, &keep)?;
        Ok(())
    }

    fn state(&self) -> TrainState {
        let Progress { step, position, best, bad_validations, bad_steps, since_validation: sums } =
            self.progress;
        TrainState {
            step,
            epoch: position.epoch,
            next_block: position.block,
            next_batch: position.batch,
            seed: self.config.seed,
            optimizer: self.optimizer.state(),
            schedule: self.schedule.state().clone(),
            trained: self.average.as_ref().map(|average| average.values().to_vec()),
            best,
            bad_validations,
            bad_steps,
            running: sums.to_numbers(),
            metrics: self.table.table().clone(),
            config_hash: self.config_hash.clone(),
            data_fingerprint: self.data_fingerprint.clone(),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn report(&mut self, on_event: &mut dyn FnMut(&Event), event: Event) -> Result<()> {
        on_event(&event);
        if let Some(board) = &mut self.board {
            board.take(&event)?;
        }
        let serde_json::Value::Object(mut fields) = serde_json::to_value(&event)? else {
            unreachable!("an event is a tagged object");
        };
        let name = fields.remove("event").and_then(|name| name.as_str().map(str::to_owned));
        self.log.push(name.as_deref().unwrap_or("event"), fields)
    }
}

/// The columns of `metrics.tsv` after step and epoch.
fn columns(metrics: &[Metric]) -> Vec<String> {
    let fixed = ["lr", "train_xent", "train_acc"].map(str::to_owned);
    fixed.into_iter().chain(metrics.iter().map(Metric::to_string)).chain(["best".to_owned()]).collect()
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
