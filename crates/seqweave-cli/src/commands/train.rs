//! `train`: run a trainer, say what it says, end as it ends.

use std::fs::{File, OpenOptions as FileOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use seqweave::store::Disk;
use seqweave_train::checkpoint::{self, Pointer};
use seqweave_train::run_folder::RunFolder;
use seqweave_train::{Event, OpenOptions, Outcome as RunOutcome, Started, Trainer};

use super::{config, device_choice, open_device, start_pool};
use crate::exit::{Exit, Failure, Outcome};
use crate::progress::{outcome_words, short, started_lines, step_line, validation_lines};
use crate::resolve::Train;
use crate::stop::Stop;
use crate::ui::Ui;

/// Trains until it is done, interrupted or diverged.
///
/// # Errors
/// When configuration, data or run folder is refused, or something cannot be written.
pub fn run(ui: &Ui, job: Train) -> Outcome {
    let config = config::load(ui, &job.config)?;
    start_pool(config.run.threads as usize)?;
    let (device, why) = open_device(device_choice(&config)?)?;
    let device = (device.with_precision(config.train.precision.into()), why);
    let run = config.run_folder();
    let options = OpenOptions { overwrite: job.overwrite };
    if job.dry_run {
        RunFolder::check(&run)?;
        // A trainer needs a folder to work in; the real one must stay as it is.
        let folder = tempfile::tempdir()?;
        let trainer = Trainer::open(config, folder.path(), device, OpenOptions::default())?;
        let step = if job.overwrite { None } else { trainer.would_go_on(&run)? };
        rehearse(ui, Started { run, ..trainer.started().clone() }, step);
        return Ok(Exit::Good);
    }
    let mut trainer = Trainer::open(config, &run, device, options)?;
    let stop = Stop::listen()?;
    let mut voice = Voice::new(ui, &run)?;
    let over = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        scope.spawn(|| announce(ui, &stop, &over));
        let result = trainer.run(&mut |event| voice.hear(event), stop.flag());
        over.store(true, Ordering::Relaxed);
        result
    });
    ui.clear_bar();
    match result? {
        RunOutcome::Interrupted => {
            ui.note("run the same command again to go on");
            Ok(stop.exit())
        }
        RunOutcome::Diverged => Err(diverged(&run)),
        _ => {
            ui.note(format!("next: seqweave translate -m {}", short(&run)));
            Ok(Exit::Good)
        }
    }
}

/// Why there are no more steps, and what is left of the run.
fn diverged(run: &Path) -> Failure {
    let name = |pointer| checkpoint::pointer(&Disk, run, pointer).ok().flatten();
    let left = match name(Pointer::Best).or_else(|| name(Pointer::Last)) {
        Some(name) => format!("{} can be used", short(&checkpoint::checkpoints_folder(run).join(name))),
        None => "no checkpoint is left, since its weights would not be finite either".to_owned(),
    };
    let help = "try a lower train.optimizer.lr or train.clip in another run folder";
    Failure::new(Exit::Diverged, "training diverged: too many steps in a row were not finite")
        .at(short(run))
        .help(format!("{left}; {help}"))
}

/// Says what a run would work with.
fn rehearse(ui: &Ui, started: Started, step: Option<u64>) {
    started_lines(&started).iter().for_each(|line| ui.note(line));
    if started.total_steps < u64::MAX {
        ui.note(format!("steps  {}", started.total_steps));
    }
    if let Some(step) = step {
        ui.note(format!("would go on from step {step}"));
    }
    ui.note("dry run: everything is good, nothing was written");
}

/// Answers the first signal at once, although the step it interrupts may take a while.
fn announce(ui: &Ui, stop: &Stop, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        if stop.is_requested() {
            ui.note("stopping after this step; once more to end without saving");
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Turns events into lines on stderr and in `train.log`, and moves the progress bar.
struct Voice<'a> {
    ui: &'a Ui,
    log: File,
    bar: Option<ProgressBar>,
}

impl<'a> Voice<'a> {
    fn new(ui: &'a Ui, run: &Path) -> Outcome<Self> {
        let path = run.join("train.log");
        let log = FileOptions::new().create(true).append(true).open(&path);
        let log = log.map_err(|e| Failure::refused(Exit::Failed, "write the log", &path, &e))?;
        Ok(Self { ui, log, bar: None })
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::Started(started) => {
                started_lines(started).iter().for_each(|line| self.say(line));
                let known = started.total_steps < u64::MAX;
                let bar = self.ui.bar(if known { started.total_steps } else { 0 });
                if known
                    && let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len}  {msg}  {eta} left")
                {
                    bar.set_style(style);
                }
                self.bar = Some(bar);
            }
            Event::Resumed { step, refused } => {
                for what in refused {
                    self.warn(&format!("checkpoint refused: {what}"));
                }
                self.say(&format!("going on from step {step}"));
                if let Some(bar) = &self.bar {
                    bar.set_position(*step);
                    bar.reset_eta();
                }
            }
            Event::Step(report) => {
                if let Some(bar) = &self.bar {
                    bar.set_position(report.step);
                    bar.set_message(format!("{:.0} tok/s", report.tgt_tok_s));
                }
                self.say(&step_line(report));
            }
            Event::Validated(validation) => {
                validation_lines(validation).iter().for_each(|line| self.say(line))
            }
            Event::Saved { path } => {
                self.write(&format!("saved {}", short(path)));
                self.ui.detail(format!("saved {}", short(path)));
            }
            Event::Skipped { step, tensor, in_a_row } => self.warn(&format!(
                "step {step} left out: {tensor} is not finite ({in_a_row} in a row); no weight was changed"
            )),
            Event::Warning { message } => self.warn(message),
            Event::Finished { outcome, step, seconds } => {
                self.ui.clear_bar();
                self.say(&format!("{} after {step} steps in {seconds:.0} s", outcome_words(*outcome)));
            }
            _ => {}
        }
    }

    fn say(&mut self, line: &str) {
        self.write(line);
        self.ui.note(line);
    }

    fn warn(&mut self, line: &str) {
        self.write(&format!("warning: {line}"));
        self.ui.warn(line);
    }

    fn write(&mut self, line: &str) {
        // The log is a convenience: training must not end because a line of it could not be written.
        let _ = writeln!(self.log, "{line}");
    }
}
