//! The folder a training run writes.
//!
//! ```text
//! RUN/config.toml     the resolved configuration, which loads again
//! RUN/metrics.tsv     one row per validation; the same bytes for the same run, killed and resumed or not
//! RUN/log.jsonl       one JSON object per event, with its time
//! RUN/train.log       what the terminal showed
//! RUN/tb/             event files for TensorBoard, unless `run.tensorboard` is off
//! RUN/checkpoints/    see [`crate::checkpoint`]
//! RUN/samples/        translations of a few validation sentences per step
//! RUN/test.tsv        pairs that were set apart for a test, if the corpora have no file of their own for it; test.jsonl
//!                     where a text has tabs or line breaks of its own
//! RUN/run.lock        held by the one trainer of this folder
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use seqweave::store::{self, Disk};
use seqweave_data::{Pair, to_jsonl, to_tsv};

use crate::checkpoint::{self, MetricRow, MetricTable};
use crate::timestamp::timestamp;
use crate::{Error, Result};

/// A run folder that this process holds; dropping it lets the next trainer in.
#[derive(Debug)]
pub struct RunFolder {
    root: PathBuf,
    /// The topmost folder that was made for this one, if it was not there.
    made: Option<PathBuf>,
    /// Closing the file ends the lock, also when the process is killed.
    _lock: File,
    /// Names of leftovers of an interrupted write that were removed on opening.
    cleaned: Vec<String>,
}

impl RunFolder {
    /// Opens or creates the folder of a run, takes its lock, and removes what interrupted writes have left.
    ///
    /// # Errors
    /// [`Error::RunLocked`] when another process trains here, [`Error::RunNotWritable`] when nothing can be
    /// written, [`Error::Io`] and [`Error::Store`] for other refusals of the operating system.
    pub fn open(root: &Path) -> Result<RunFolder> {
        let not_writable = |source: io::Error| match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Error::RunNotWritable { folder: root.into(), source }
            }
            _ => Error::Io { op: "create the run folder", path: root.into(), source },
        };
        let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let made = root.ancestors().take_while(is_missing).last().map(Path::to_path_buf);
        for folder in [root.to_path_buf(), root.join("checkpoints"), root.join("samples")] {
            fs::create_dir_all(&folder).map_err(not_writable)?;
        }
        let lock = take_lock(root, not_writable)?;
        let mut cleaned = store::clean_temporaries(&Disk, root)?;
        cleaned.extend(store::clean_temporaries(&Disk, &root.join("checkpoints"))?);
        Ok(RunFolder { root: root.into(), made, _lock: lock, cleaned })
    }

    /// Refuses a path at which no run folder can be, without making one: something else is there, or on the way there.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn check(root: &Path) -> Result<()> {
        match root.ancestors().find(|path| path.exists()) {
            Some(there) if !there.is_dir() => {
                let source = io::ErrorKind::NotADirectory.into();
                Err(Error::Io { op: "create the run folder", path: root.into(), source })
            }
            _ => Ok(()),
        }
    }

    /// Removes the folder if it was made for a run that came to nothing, and the folders that were made for it.
    ///
    /// What has anything in it stays. The lock is still held, so nobody else can have begun to work here.
    pub(crate) fn abandon(&self) {
        let Some(made) = &self.made else { return };
        // Best effort: what cannot be removed harms no one.
        let _ = fs::remove_file(self.root.join("run.lock"));
        for folder in ["checkpoints", "samples"] {
            let _ = fs::remove_dir(self.root.join(folder));
        }
        for folder in self.root.ancestors().take_while(|folder| folder.starts_with(made)) {
            let _ = fs::remove_dir(folder);
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Leftovers of interrupted writes that were removed on opening.
    pub fn cleaned(&self) -> &[String] {
        &self.cleaned
    }

    /// The resolved configuration.
    pub fn config_path(&self) -> PathBuf {
        Self::config_in(&self.root)
    }

    /// The same of the run folder `root`.
    pub(crate) fn config_in(root: &Path) -> PathBuf {
        root.join("config.toml")
    }

    /// The table of metrics.
    pub fn metrics_path(&self) -> PathBuf {
        self.root.join("metrics.tsv")
    }

    /// The log of events.
    pub fn log_path(&self) -> PathBuf {
        self.root.join("log.jsonl")
    }

    /// What the terminal showed.
    pub fn train_log_path(&self) -> PathBuf {
        self.root.join("train.log")
    }

    /// The event files for TensorBoard.
    pub fn tensorboard_path(&self) -> PathBuf {
        self.root.join("tb")
    }

    /// Where the pairs that the split set apart for a test may be: as lines of TSV, or of JSON.
    pub fn test_paths(&self) -> [PathBuf; 2] {
        ["test.tsv", "test.jsonl"].map(|name| self.root.join(name))
    }

    /// Writes the pairs that the split set apart for a test, in the form that holds them; `tags` says whether their sources
    /// have a column of tags.
    ///
    /// # Errors
    /// [`Error::Store`] naming call and path.
    pub fn write_test(&self, pairs: &[Pair], tags: bool) -> Result<()> {
        let [tsv, jsonl] = self.test_paths();
        match to_tsv(pairs, tags) {
            Some(text) => self.write(&tsv, &text),
            None => self.write(&jsonl, &to_jsonl(pairs)),
        }
    }

    /// The sample translations of a step.
    pub fn samples_path(&self, step: u64) -> PathBuf {
        self.root.join("samples").join(format!("step-{step:08}.txt"))
    }

    /// Writes a file of the folder in one rename.
    ///
    /// # Errors
    /// [`Error::Store`] naming call and path.
    pub fn write(&self, path: &Path, text: &str) -> Result<()> {
        Ok(store::write_file_atomic(&Disk, path, text.as_bytes())?)
    }

    /// Removes the checkpoints, samples, logs and test pairs of an earlier run.
    ///
    /// # Errors
    /// [`Error::Io`] when one of them is there and cannot be removed.
    pub fn start_over(&self) -> Result<()> {
        checkpoint::remove_all(&Disk, &self.root)?;
        let failed = |op, path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Io { op, path, source }
        };
        let mut files = vec![self.metrics_path(), self.log_path(), self.train_log_path()];
        files.extend(self.test_paths());
        for folder in [self.root.join("samples"), self.tensorboard_path()] {
            match fs::read_dir(&folder) {
                // A run need not have written for TensorBoard.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                entries => {
                    for entry in entries.map_err(failed("list", &folder))? {
                        files.push(entry.map_err(failed("list", &folder))?.path());
                    }
                }
            }
        }
        for path in files {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", &path)(source));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Opens the event log for appending.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn event_log(&self) -> Result<EventLog> {
        EventLog::open(&self.log_path())
    }

    /// Starts `metrics.tsv` from a table: empty for a new run, the one in the checkpoint on resume.
    ///
    /// # Errors
    /// [`Error::Store`] naming call and path.
    pub fn metrics(&self, table: MetricTable) -> Result<MetricsFile> {
        MetricsFile::start(&self.metrics_path(), table)
    }
}

fn take_lock(root: &Path, not_writable: impl Fn(io::Error) -> Error) -> Result<File> {
    let path = root.join("run.lock");
    let failed = |source| Error::Io { op: "lock", path: path.clone(), source };
    // The file stays when a run ends: removing it would let two trainers lock two files of one name.
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = open.map_err(not_writable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // A holder that has not written its number yet is still a holder.
            let _ = file.take(32).read_to_string(&mut text);
            return Err(Error::RunLocked { folder: root.into(), pid: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

/// The writer of `metrics.tsv`.
///
/// The file holds no time and no speed, so that it is the same for an interrupted and an uninterrupted run.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    table: MetricTable,
}

impl MetricsFile {
    fn start(path: &Path, table: MetricTable) -> Result<MetricsFile> {
        store::write_file_atomic(&Disk, path, render(&table).as_bytes())?;
        Ok(MetricsFile { path: path.into(), table })
    }

    /// Appends a row.
    ///
    /// A crash may cut the row in the file, but not the history in the checkpoint: the file is rewritten on resume.
    ///
    /// # Errors
    /// [`Error::MetricRow`] when the number of values is not that of the columns, [`Error::Io`].
    pub fn push(&mut self, row: MetricRow) -> Result<()> {
        let (expected, found) = (self.table.columns.len(), row.values.len());
        if expected != found {
            let columns = self.table.columns.clone();
            return Err(Error::MetricRow { step: row.step, expected, found, columns });
        }
        let append =
            |text: &str| OpenOptions::new().append(true).open(&self.path)?.write_all(text.as_bytes());
        append(&render_row(&row)).map_err(|source| Error::Io {
            op: "append to",
            path: self.path.clone(),
            source,
        })?;
        self.table.rows.push(row);
        Ok(())
    }

    /// The table so far, as it goes into a checkpoint.
    pub fn table(&self) -> &MetricTable {
        &self.table
    }
}

fn render(table: &MetricTable) -> String {
    let mut text = "step\tepoch".to_string();
    for column in &table.columns {
        text.push('\t');
        text.push_str(column);
    }
    text.push('\n');
    for row in &table.rows {
        text.push_str(&render_row(row));
    }
    text
}

/// Floats are written with the fewest digits that read back to the same value.
fn render_row(row: &MetricRow) -> String {
    let mut text = format!("{}\t{}", row.step, row.epoch);
    for value in &row.values {
        text.push('\t');
        if let Some(value) = value {
            text.push_str(&value.to_string());
        }
    }
    text.push('\n');
    text
}

/// The writer of `log.jsonl`.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: File,
}

impl EventLog {
    fn open(path: &Path) -> Result<EventLog> {
        let failed = |source| Error::Io { op: "open", path: path.into(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        // A kill may have cut the last line; a new event must not continue it.
        if file.metadata().map_err(failed)?.len() > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1)).and_then(|_| file.read_exact(&mut last)).map_err(failed)?;
            if last != *b"\n" {
                file.write_all(b"\n").map_err(failed)?;
            }
        }
        Ok(EventLog { path: path.into(), file })
    }

    /// Appends one event: its time (UTC), its name, and the fields of `details`, which is a JSON object.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn push(&mut self, event: &str, details: serde_json::Map<String, serde_json::Value>) -> Result<()> {
        let mut object = serde_json::Map::new();
        object.insert("time".into(), timestamp(SystemTime::now()).into());
        object.insert("event".into(), event.into());
        object.extend(details);
        let line = format!("{}\n", serde_json::Value::Object(object));
        // One call per line, so that lines of a run are never interleaved.
        self.file.write_all(line.as_bytes()).map_err(|source| Error::Io {
            op: "append to",
            path: self.path.clone(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn table() -> MetricTable {
        MetricTable { columns: vec!["train_loss".into(), "valid_loss".into()], rows: vec![] }
    }

    fn row(step: u64) -> MetricRow {
        MetricRow {
            step,
            epoch: step / 10,
            values: vec![Some(1.0 / step as f64), step.is_multiple_of(2).then_some(0.5)],
        }
    }

    #[test]
    fn a_second_trainer_is_refused_by_number_and_a_stale_lock_is_no_obstacle() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("runs/a");
        let first = RunFolder::open(&root).unwrap();
        let error = RunFolder::open(&root).unwrap_err();
        assert!(
            matches!(&error, Error::RunLocked { folder, pid: Some(pid) } if *folder == root && *pid == std::process::id()),
            "{error}"
        );
        assert!(
            error.to_string().contains(&format!("in use by the training process {}", std::process::id()))
        );
        drop(first);
        assert!(root.join("run.lock").exists());
        fs::write(root.join("run.lock"), "999999999999 a very long stale text").unwrap();
        drop(RunFolder::open(&root).unwrap());
        assert_eq!(fs::read_to_string(root.join("run.lock")).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_run_that_came_to_nothing_leaves_only_what_was_there() {
        let parent = tempfile::tempdir().unwrap();
        let there = || fs::read_dir(parent.path()).unwrap().count();
        let root = parent.path().join("runs/deep/a");
        RunFolder::open(&root).unwrap().abandon();
        assert_eq!(there(), 0);
        let run = RunFolder::open(&root).unwrap();
        run.write(&run.config_path(), "x").unwrap();
        run.abandon();
        assert!(root.join("config.toml").exists(), "what has something in it stays");
        let empty = parent.path().join("mine");
        fs::create_dir(&empty).unwrap();
        RunFolder::open(&empty).unwrap().abandon();
        assert!(empty.is_dir(), "a folder that was there stays");

        fs::write(parent.path().join("file"), "").unwrap();
        for name in ["file", "file/run"] {
            let error = RunFolder::check(&parent.path().join(name)).unwrap_err();
            assert!(matches!(error, Error::Io { .. }), "{error}");
        }
        RunFolder::check(&parent.path().join("new/run")).unwrap();
        RunFolder::check(&empty).unwrap();
    }

    #[test]
    fn leftovers_are_removed_and_everything_else_stays() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path();
        fs::create_dir_all(root.join("checkpoints/.tmp-step-00000001-1-0")).unwrap();
        fs::write(root.join("checkpoints/.tmp-step-00000001-1-0/state.bin"), "half").unwrap();
        fs::write(root.join(".tmp-metrics.tsv-1-1"), "half").unwrap();
        fs::write(root.join("notes.txt"), "mine").unwrap();
        let run = RunFolder::open(root).unwrap();
        assert_eq!(run.cleaned(), [".tmp-metrics.tsv-1-1", ".tmp-step-00000001-1-0"]);
        assert!(root.join("notes.txt").exists());
        assert_eq!(fs::read_dir(root.join("checkpoints")).unwrap().count(), 0);
    }

    #[test]
    fn a_resumed_table_has_the_bytes_of_an_uninterrupted_one() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunFolder::open(parent.path()).unwrap();
        let mut whole = run.metrics(table()).unwrap();
        for step in 1..=4 {
            whole.push(row(step)).unwrap();
        }
        let expected = fs::read_to_string(run.metrics_path()).unwrap();
        assert_eq!(expected.lines().next(), Some("step\tepoch\ttrain_loss\tvalid_loss"));
        assert_eq!(expected.lines().nth(3), Some("3\t0\t0.3333333333333333\t"));

        let mut killed = run.metrics(table()).unwrap();
        killed.push(row(1)).unwrap();
        killed.push(row(2)).unwrap();
        let in_checkpoint = killed.table().clone();
        killed.push(row(3)).unwrap();
        fs::write(run.metrics_path(), "step\tepoch\ttrain_loss\tvalid_loss\n1\t0").unwrap();
        let mut resumed = run.metrics(in_checkpoint).unwrap();
        resumed.push(row(3)).unwrap();
        resumed.push(row(4)).unwrap();
        assert_eq!(fs::read_to_string(run.metrics_path()).unwrap(), expected);

        let short = MetricRow { step: 5, epoch: 0, values: vec![] };
        let message = resumed.push(short).unwrap_err().to_string();
        assert_eq!(
            message,
            "a row of step 5 has 0 values, the table has the 2 columns train_loss, valid_loss"
        );
    }

    #[test]
    fn events_are_whole_lines_also_after_a_cut_one() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunFolder::open(parent.path()).unwrap();
        fs::write(run.log_path(), "{\"event\":\"log\",\"st").unwrap();
        let details = || serde_json::Map::from_iter([("step".to_string(), 3.into())]);
        run.event_log().unwrap().push("resume", details()).unwrap();
        run.event_log().unwrap().push("log", details()).unwrap();
        let text = fs::read_to_string(run.log_path()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        let event: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
        assert_eq!((event["event"].as_str(), event["step"].as_u64()), (Some("resume"), Some(3)));
        assert!(event["time"].as_str().unwrap().ends_with('Z'));
    }

    #[cfg(unix)]
    #[test]
    fn a_read_only_folder_is_named() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("run");
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o555)).unwrap();
        // A superuser may write anywhere; then there is no such error to see.
        if fs::write(root.join("probe"), "").is_err() {
            let error = RunFolder::open(&root).unwrap_err();
            assert!(matches!(error, Error::RunNotWritable { .. }), "{error}");
        }
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        let error = RunFolder::open(&file).unwrap_err();
        assert!(matches!(error, Error::Io { op: "create the run folder", .. }), "{error}");
    }
}
