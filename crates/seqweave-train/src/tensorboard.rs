//! Event files for TensorBoard: `RUN/tb/events.out.tfevents.*`.
//!
//! Each process that trains writes a file of its own, as TensorBoard expects it.
//! On resume the files of earlier processes lose the steps after the checkpoint, so that whoever reads them finds each
//! step once; a TensorBoard that has read them already is told by the first event of the new file to forget them.

mod record;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::event::{Event, Sample};
use crate::{Error, Result};
use record::{Message, Value, fields, record, records};

const PREFIX: &str = "events.out.tfevents.";

/// The writer of a run's event file, which is made with the first event that belongs into it.
#[derive(Debug)]
pub(crate) struct Tensorboard {
    folder: PathBuf,
    /// Steps that are in the files of earlier processes.
    after: u64,
    file: Option<(PathBuf, File)>,
}

impl Tensorboard {
    /// A writer in `folder` that goes on after a step; later steps in the files that are there are cut off.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be made, or a file in it cannot be read or cut.
    pub(crate) fn open(folder: &Path, after: u64) -> Result<Tensorboard> {
        let failed = |op, path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Io { op, path, source }
        };
        fs::create_dir_all(folder).map_err(failed("create", folder))?;
        for path in event_files(folder).map_err(failed("list", folder))? {
            let bytes = fs::read(&path).map_err(failed("read", &path))?;
            match kept(&bytes, after) {
                None => fs::remove_file(&path).map_err(failed("remove", &path))?,
                Some(length) if length < bytes.len() => {
                    let cut = |file: File| file.set_len(length as u64);
                    OpenOptions::new().write(true).open(&path).and_then(cut).map_err(failed("cut", &path))?;
                }
                Some(_) => {}
            }
        }
        Ok(Tensorboard { folder: folder.into(), after, file: None })
    }

    /// Writes what an event has to show.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn take(&mut self, event: &Event) -> Result<()> {
        let (step, values) = match event {
            Event::Step(report) => {
                let scalars = [
                    ("train/xent", report.xent),
                    ("train/ppl", report.ppl),
                    ("train/acc", report.acc),
                    ("train/lr", report.lr),
                    ("train/grad_norm", report.grad_norm),
                    ("speed/src_tok_s", report.src_tok_s),
                    ("speed/tgt_tok_s", report.tgt_tok_s),
                ];
                (report.step, scalars.map(|(tag, value)| scalar(tag, value)).into())
            }
            Event::Validated(validation) => {
                let scalars = validation.scores.iter();
                let mut values: Vec<Message> =
                    scalars.map(|(name, value)| scalar(&format!("valid/{name}"), *value)).collect();
                if !validation.samples.is_empty() {
                    values.push(text("samples", &table(&validation.samples)));
                }
                (validation.step, values)
            }
            _ => return Ok(()),
        };
        let summary = values.iter().fold(Message::default(), |summary, value| summary.bytes(1, value));
        self.push(&event_at(step).bytes(5, summary))
    }

    fn push(&mut self, event: &Message) -> Result<()> {
        if self.file.is_none() {
            let path = new_name(&self.folder);
            let path = self.folder.join(path);
            let mut file = OpenOptions::new()
                .append(true)
                .create_new(true)
                .open(&path)
                .map_err(|source| Error::Io { op: "create", path: path.clone(), source })?;
            let version = event_at(0).bytes(3, "brain.Event:2");
            // SessionLog { status = START }: whatever was read of this step and later ones is void.
            let start = event_at(self.after + 1).bytes(7, Message::default().varint(1, 1));
            let head = [record(version.as_ref()), record(start.as_ref())].concat();
            let written = file.write_all(&head);
            written.map_err(|source| Error::Io { op: "write", path: path.clone(), source })?;
            self.file = Some((path, file));
        }
        let Some((path, file)) = &mut self.file else { unreachable!("it was made above") };
        let written = file.write_all(&record(event.as_ref()));
        written.map_err(|source| Error::Io { op: "append to", path: path.clone(), source })
    }
}

/// The event files of a folder in the order in which TensorBoard reads them.
fn event_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// A name that comes after those of all files there, also when the clock was set back.
fn new_name(folder: &Path) -> String {
    let second = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.to_owned();
        name.split('.').next()?.parse::<u64>().ok()
    };
    let latest = event_files(folder).unwrap_or_default().iter().filter_map(second).max();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // Ten digits, as others write it: names are compared as texts.
    format!("{PREFIX}{:010}.seqweave", latest.map_or(now, |latest| now.max(latest + 1)))
}

/// How many bytes of a file hold steps up to `after`; `None` if no value of such a step is in it.
///
/// Within a file steps only grow, so what is kept is its beginning.
fn kept(bytes: &[u8], after: u64) -> Option<usize> {
    let (mut end, mut has_values) = (0, false);
    for (at, message) in records(bytes) {
        if step_of(message) > after {
            break;
        }
        has_values |= fields(message).any(|(field, _)| field == 5);
        end = at + record(message).len();
    }
    has_values.then_some(end)
}

fn step_of(message: &[u8]) -> u64 {
    let step = fields(message).find_map(|field| match field {
        (2, Value::Varint(step)) => Some(step),
        _ => None,
    });
    step.unwrap_or(0)
}

/// An event now, to which its content is added.
fn event_at(step: u64) -> Message {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Message::default().double(1, now.as_secs_f64()).varint(2, step)
}

/// Summary.Value { tag = 1, simple_value = 2 }
fn scalar(tag: &str, value: f64) -> Message {
    Message::default().bytes(1, tag).float(2, value as f32)
}

/// Summary.Value { tag = 1, tensor = 8 { dtype = DT_STRING, shape [1] }, metadata = 9 { plugin "text", tensor data } }
fn text(tag: &str, markdown: &str) -> Message {
    let shape = Message::default().bytes(2, Message::default().varint(1, 1));
    let tensor = Message::default().varint(1, 7).bytes(2, shape).bytes(8, markdown);
    let metadata = Message::default().bytes(1, Message::default().bytes(1, "text")).varint(4, 2);
    Message::default().bytes(1, tag).bytes(8, tensor).bytes(9, metadata)
}

/// Samples as a table in Markdown.
fn table(samples: &[Sample]) -> String {
    let cell = |text: &str| text.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ");
    let mut table = "source | output | reference\n--- | --- | ---\n".to_owned();
    for Sample { source, reference, hypothesis } in samples {
        table.push_str(&format!("{} | {} | {}\n", cell(source), cell(hypothesis), cell(reference)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{StepReport, Validation};

    fn step(step: u64) -> Event {
        Event::Step(StepReport { step, xent: step as f64 / 2.0, ..StepReport::default() })
    }

    /// (step, tag, value) of every scalar of a folder, in the order in which TensorBoard reads them.
    fn scalars(folder: &Path) -> Vec<(u64, String, f32)> {
        let mut found = Vec::new();
        for path in event_files(folder).unwrap() {
            let bytes = fs::read(path).unwrap();
            let messages: Vec<_> = records(&bytes).map(|(_, message)| message).collect();
            let version = fields(messages[0]).find(|(field, _)| *field == 3);
            assert_eq!(version, Some((3, Value::Bytes(b"brain.Event:2"))));
            for message in messages {
                for (_, summary) in fields(message).filter(|(field, _)| *field == 5) {
                    let Value::Bytes(summary) = summary else { panic!("a summary is a message") };
                    for (_, value) in fields(summary) {
                        let Value::Bytes(value) = value else { panic!("a value is a message") };
                        let parts: Vec<_> = fields(value).collect();
                        let Value::Bytes(tag) = parts[0].1 else { panic!("a tag is a string") };
                        if let (2, Value::Fixed(x)) = parts[1] {
                            let x = f32::from_le_bytes(x.try_into().unwrap());
                            found.push((step_of(message), String::from_utf8(tag.into()).unwrap(), x));
                        }
                    }
                }
            }
        }
        found
    }

    fn losses(folder: &Path) -> Vec<(u64, f32)> {
        let losses = scalars(folder).into_iter().filter(|(_, tag, _)| tag == "train/xent");
        losses.map(|(step, _, value)| (step, value)).collect()
    }

    #[test]
    fn every_number_of_a_report_and_a_validation_is_a_scalar() {
        let folder = tempfile::tempdir().unwrap();
        let mut board = Tensorboard::open(folder.path(), 0).unwrap();
        board.take(&step(3)).unwrap();
        let sample = Sample { source: "a|b".into(), reference: "c".into(), hypothesis: "d".into() };
        assert!(table(std::slice::from_ref(&sample)).ends_with("a\\|b | d | c\n"));
        let scores = vec![("bleu".to_owned(), 30.5), ("ppl".to_owned(), f64::NAN)];
        let validation = Validation { step: 3, scores, samples: vec![sample], ..Validation::default() };
        board.take(&Event::Validated(validation)).unwrap();
        board.take(&Event::Warning { message: "w".into() }).unwrap();
        let found = scalars(folder.path());
        assert_eq!(found.len(), 7 + 2);
        assert!(found.contains(&(3, "train/xent".to_owned(), 1.5)));
        assert!(found.contains(&(3, "valid/bleu".to_owned(), 30.5)));
        assert!(found.iter().any(|(_, tag, value)| tag == "valid/ppl" && value.is_nan()));
    }

    #[test]
    fn a_resumed_run_has_each_step_once() {
        let folder = tempfile::tempdir().unwrap();
        let run = |after: u64, steps: std::ops::Range<u64>| {
            let mut board = Tensorboard::open(folder.path(), after).unwrap();
            steps.for_each(|n| board.take(&step(n)).unwrap());
        };
        let files = || event_files(folder.path()).unwrap();
        let expect = |last: u64| (1..=last).map(|n| (n, n as f32 / 2.0)).collect::<Vec<_>>();
        run(0, 1..6);
        // A kill may cut the last record.
        let length = fs::metadata(&files()[0]).unwrap().len();
        OpenOptions::new().write(true).open(&files()[0]).unwrap().set_len(length - 3).unwrap();
        run(4, 5..9);
        assert_eq!(losses(folder.path()), expect(8));
        run(2, 3..7);
        assert_eq!(losses(folder.path()), expect(6));
        assert_eq!(files().len(), 2, "a file of which nothing is left is removed");
        // A finished run that is started again writes nothing.
        run(6, 1..1);
        assert_eq!(files().len(), 2);
        run(0, 1..3);
        assert_eq!((losses(folder.path()), files().len()), (expect(2), 1));
    }
}
