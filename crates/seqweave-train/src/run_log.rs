//! Reading `log.jsonl` back: a follower for a file that grows, is cut or is replaced, and what its events amount to.
//!
//! ```
//! use seqweave_train::run_log::{Follower, RunLog};
//!
//! # fn main() -> std::io::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("log.jsonl");
//! std::fs::write(&path, "{\"time\":\"2026-01-02T03:04:05.000Z\",\"event\":\"step\",\"step\":10,\"xent\":2.5}\n")?;
//! let (mut follower, mut log) = (Follower::new(&path), RunLog::default());
//! log.follow(&mut follower)?;
//! assert_eq!(log.steps[0].xent, 2.5);
//! # Ok(())
//! # }
//! ```

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;

use crate::event::{Event, Outcome, Started, StepReport, Validation};
use crate::timestamp;

/// Bytes before the place read up to that must still be there for the file to be the one that was read.
const SEAM: u64 = 256;

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Record {
    /// When it was written, in UTC; `None` if the line does not say.
    #[serde(default, deserialize_with = "time")]
    pub time: Option<SystemTime>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Reads a log that another process writes, each line once.
///
/// The file is opened anew each time, so it may be replaced by a copy of itself that is longer.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    /// Bytes read so far, up to the end of a line.
    offset: u64,
    /// The last of them, by which a file is recognised.
    seam: Vec<u8>,
}

/// What a look at the log brought.
#[derive(Debug, Default, PartialEq)]
pub struct News {
    /// The file is shorter than it was, or another one: the records begin at its beginning.
    pub restarted: bool,
    /// The records of lines not read before; lines that are no records are left out.
    pub records: Vec<Record>,
}

impl Follower {
    /// A follower at the beginning of a file, which need not be there yet.
    pub fn new(path: &Path) -> Follower {
        Follower { path: path.into(), offset: 0, seam: Vec::new() }
    }

    /// Reads the lines that are complete since the last look; none if there is no file.
    ///
    /// # Errors
    /// When the operating system refuses to read the file.
    pub fn poll(&mut self) -> io::Result<News> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            // Between the two renames of a rotation there is no file; what was read stays read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(News::default()),
            Err(error) => return Err(error),
        };
        let restarted = !self.is_continued_by(&mut file)?;
        if restarted {
            (self.offset, self.seam) = (0, Vec::new());
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        bytes.truncate(whole);
        self.offset += whole as u64;
        self.seam.extend(&bytes);
        self.seam.drain(..self.seam.len().saturating_sub(SEAM as usize));
        let records = bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        Ok(News { restarted, records: records.collect() })
    }

    fn is_continued_by(&self, file: &mut File) -> io::Result<bool> {
        let from = self.offset - self.seam.len() as u64;
        if file.metadata()?.len() < self.offset {
            return Ok(false);
        }
        let mut seam = vec![0; self.seam.len()];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(&mut seam)?;
        Ok(seam == self.seam)
    }
}

/// What the events of a log amount to.
///
/// A resumed run makes some steps again; what was said of them before is forgotten.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunLog {
    /// What the run works with, as its last start said.
    pub started: Option<Started>,
    /// When the run was started first, and when last.
    pub starts: Option<(SystemTime, SystemTime)>,
    /// Times the run went on from a checkpoint.
    pub resumes: u64,
    /// Progress, in the order of the steps.
    pub steps: Vec<StepReport>,
    /// Validations, in the order of the steps.
    pub validations: Vec<Validation>,
    /// Steps that were left out because a number was not finite.
    pub skipped: Vec<u64>,
    /// Warnings, the last ones last.
    pub warnings: Vec<String>,
    /// How the run ended, if it is not running.
    pub outcome: Option<Outcome>,
    /// Steps that were done when it ended; 0 while it is running.
    pub steps_at_end: u64,
    /// Seconds that the processes of this run have trained, as far as the log says.
    pub seconds: f64,
    /// When the last event was written.
    pub last: Option<SystemTime>,
    /// Seconds of the processes before the last one.
    pub seconds_before: f64,
    /// The run was started, and has not said yet from where.
    pub is_starting: bool,
}

impl RunLog {
    /// Reads a log as it is now.
    ///
    /// # Errors
    /// When the file is not there or cannot be read.
    pub fn read(path: &Path) -> io::Result<RunLog> {
        std::fs::metadata(path)?;
        let mut log = RunLog::default();
        log.follow(&mut Follower::new(path))?;
        Ok(log)
    }

    /// Takes what is new; `true` if anything is.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn follow(&mut self, follower: &mut Follower) -> io::Result<bool> {
        let News { restarted, records } = follower.poll()?;
        if restarted {
            *self = RunLog::default();
        }
        let new = restarted || !records.is_empty();
        records.into_iter().for_each(|record| self.take(record));
        Ok(new)
    }

    /// Takes one record.
    pub fn take(&mut self, record: Record) {
        let Record { time, event } = record;
        self.last = time.or(self.last);
        if std::mem::take(&mut self.is_starting) {
            match &event {
                Event::Resumed { step, .. } => self.forget_after(*step),
                // It was killed before its first checkpoint.
                _ => self.forget_after(0),
            }
        }
        match event {
            Event::Started(started) => {
                self.started = Some(started);
                self.starts = time.map(|time| (self.starts.map_or(time, |(first, _)| first), time));
                (self.outcome, self.steps_at_end) = (None, 0);
                (self.is_starting, self.seconds_before) = (true, self.seconds);
            }
            Event::Resumed { .. } => self.resumes += 1,
            Event::Step(report) => {
                self.seconds = self.seconds_before + report.seconds;
                self.steps.push(report);
            }
            Event::Validated(validation) => self.validations.push(validation),
            Event::Skipped { step, .. } => self.skipped.push(step),
            Event::Warning { message } => self.warnings.push(message),
            Event::Finished { outcome, seconds, step } => {
                self.seconds = self.seconds_before + seconds;
                (self.outcome, self.steps_at_end) = (Some(outcome), step);
            }
            Event::Saved { .. } => {}
        }
    }

    /// The best validation so far.
    pub fn best(&self) -> Option<&Validation> {
        self.validations.iter().rfind(|validation| validation.best)
    }

    /// Steps done, as far as the log says: it has no report of every step.
    pub fn step(&self) -> u64 {
        let reported = self.steps.last().map_or(0, |report| report.step);
        let validated = self.validations.last().map_or(0, |validation| validation.step);
        reported.max(validated).max(self.steps_at_end)
    }

    fn forget_after(&mut self, step: u64) {
        self.steps.retain(|report| report.step <= step);
        self.validations.retain(|validation| validation.step <= step);
        self.skipped.retain(|&skipped| skipped <= step);
    }
}

fn time<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<SystemTime>, D::Error> {
    Ok(Option::<String>::deserialize(value)?.as_deref().and_then(timestamp::parse))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const STARTED: &str = r#"{"time":"2026-01-02T03:04:05.000Z","event":"started","total_steps":9}"#;

    fn step(step: u64, xent: f64) -> String {
        format!(
            r#"{{"time":"2026-01-02T03:05:{step:02}.000Z","event":"step","step":{step},"xent":{xent},"seconds":{step}}}"#
        )
    }

    fn log(lines: &[&str]) -> RunLog {
        let mut log = RunLog::default();
        lines.iter().for_each(|line| log.take(serde_json::from_str(line).unwrap()));
        log
    }

    fn steps(log: &RunLog) -> Vec<(u64, f64)> {
        log.steps.iter().map(|report| (report.step, report.xent)).collect()
    }

    #[test]
    fn a_resumed_run_counts_its_last_word() {
        let resumed = r#"{"event":"resumed","step":2,"refused":[]}"#;
        let finished = r#"{"event":"finished","outcome":"interrupted","step":3,"seconds":3.5}"#;
        let first = [STARTED, &step(1, 5.0), &step(2, 4.0), &step(3, 3.0), finished];
        let stopped = log(&first);
        assert_eq!((stopped.outcome, stopped.seconds), (Some(Outcome::Interrupted), 3.5));
        let again = log(&[&first[..], &[STARTED, resumed, &step(3, 2.5)]].concat());
        assert_eq!(steps(&again), [(1, 5.0), (2, 4.0), (3, 2.5)]);
        assert_eq!((again.outcome, again.resumes, again.seconds), (None, 1, 6.5));
        // Without a checkpoint there is nothing to go on from.
        let anew = log(&[&first[..], &[STARTED, &step(1, 4.5)]].concat());
        assert_eq!(steps(&anew), [(1, 4.5)]);
    }

    #[test]
    fn a_growing_log_is_read_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let (mut follower, mut log) = (Follower::new(&path), RunLog::default());
        assert!(!log.follow(&mut follower).unwrap(), "there is no file yet");
        let mut text = String::new();
        for line in [STARTED.to_owned(), step(1, 5.0), "no json".to_owned(), step(2, 4.0)] {
            let (half, rest) = line.split_at(line.len() / 2);
            text.push_str(half);
            fs::write(&path, &text).unwrap();
            assert!(!log.follow(&mut follower).unwrap(), "half a line is no line");
            text.push_str(rest);
            text.push('\n');
            fs::write(&path, &text).unwrap();
            assert_eq!(log.follow(&mut follower).unwrap(), line != "no json");
        }
        assert_eq!(steps(&log), [(1, 5.0), (2, 4.0)]);
        assert_eq!(log.started.as_ref().unwrap().total_steps, 9);
        assert_eq!(log, RunLog::read(&path).unwrap());
    }

    #[test]
    fn a_log_that_is_cut_or_replaced_is_read_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let write = |lines: &[&str]| fs::write(&path, lines.join("\n") + "\n").unwrap();
        let (mut follower, mut log) = (Follower::new(&path), RunLog::default());
        let (one, two, three) = (step(1, 5.0), step(2, 4.0), step(3, 3.0));
        write(&[STARTED, &one, &two]);
        log.follow(&mut follower).unwrap();
        write(&[STARTED, &one]);
        log.follow(&mut follower).unwrap();
        assert_eq!(steps(&log), [(1, 5.0)], "cut");
        // A rotated log begins anew, and is soon longer than what was read of the old one.
        write(&[&three, &two, &step(7, 1.0), &step(8, 0.5)]);
        log.follow(&mut follower).unwrap();
        assert_eq!(steps(&log).len(), 4, "another file");
        assert_eq!(log.started, None);
        fs::remove_file(&path).unwrap();
        assert!(!log.follow(&mut follower).unwrap());
        assert_eq!(steps(&log).len(), 4, "a file that is away for a moment takes nothing with it");
        // A newer copy of the same file goes on where the old one ended.
        write(&[&three, &two, &step(7, 1.0), &step(8, 0.5), &step(9, 0.25)]);
        assert_eq!(follower.poll().unwrap().records.len(), 1);
    }
}
