//! What a full disk, a limit on file sizes and a second process do to a run.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;

use seqweave::store::Disk;
use seqweave_train::run_folder::RunFolder;
use seqweave_train::{Error, Result, Trainer, checkpoint};

use crate::task::{Task, assert_same_state, newest, open};

const SETTINGS: &str = "
    model.emb = 24
    model.hidden = 32
    train.max_steps = 6
    checkpoint.every = 2
    valid.every = 100
    valid.samples = 0
";

/// Set in the processes that these tests start, to what they shall do.
const ROLE: &str = "SEQWEAVE_TEST_ROLE";
const FOLDER: &str = "SEQWEAVE_TEST_FOLDER";

/// This test program, told to run the test `name` in a role; `shell` comes first and may limit it.
fn child(shell: &str, name: &str, role: &str, folder: &Path) -> Child {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{shell} exec \"$0\" \"$@\"")).arg(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(FOLDER, folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// The role of this process, and its folder, if a test has started it.
fn role() -> Option<(String, PathBuf)> {
    Some((std::env::var(ROLE).ok()?, std::env::var_os(FOLDER)?.into()))
}

fn run(trainer: &mut Trainer) -> Result<()> {
    trainer.run(&mut |_| (), &AtomicBool::new(false)).map(drop)
}

/// The kind of the operating system's refusal inside an error that names call and path.
fn refusal(error: &Error) -> Option<ErrorKind> {
    match error {
        Error::Store(seqweave::Error::Io { source, path, .. }) | Error::Io { source, path, .. } => {
            assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
            Some(source.kind())
        }
        _ => None,
    }
}

/// Names in the run folder that an interrupted write may leave.
fn temporaries(run: &Path) -> Vec<String> {
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let mut all = names(run);
    all.extend(names(&run.join("checkpoints")));
    all.retain(|name| name.starts_with(".tmp") || name.starts_with(".old"));
    all
}

/// Bytes of the files of a run's newest checkpoint.
fn checkpoint_bytes(run: &Path) -> u64 {
    let entries = std::fs::read_dir(newest(run).folder).unwrap();
    entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

/// A small file system in memory; unmounted when dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(path: PathBuf, bytes: u64) -> Option<Tmpfs> {
        std::fs::create_dir(&path).unwrap();
        let options = format!("size={bytes},mode=0777");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).output();
        output.is_ok_and(|output| output.status.success()).then_some(Tmpfs(path))
    }

    fn resize(&self, bytes: u64) {
        let options = format!("remount,size={bytes}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn on_a_full_disk_the_earlier_checkpoint_stays_and_the_run_goes_on_when_there_is_room() {
    let task = Task::small();
    assert!(run(&mut task.open(SETTINGS, "whole").unwrap()).is_ok());
    let bytes = checkpoint_bytes(&task.path("whole"));

    // Room for one checkpoint and a bit, but not for two.
    let Some(disk) = Tmpfs::mount(task.path("disk"), bytes * 3 / 2 + 64 * 1024) else {
        println!("SKIPPED: no small file system can be mounted here, so a full disk was not tried");
        return;
    };
    let folder = disk.0.join("run");
    let error = run(&mut open(task.config(SETTINGS), &folder, false).unwrap()).unwrap_err();
    assert_eq!(refusal(&error), Some(ErrorKind::StorageFull), "{error}");
    assert_eq!(newest(&folder).state.step, 2, "{error}");
    assert_eq!(temporaries(&folder), [""; 0], "{error}");

    // Still full: the next start is refused in the same way and harms nothing.
    let error = run(&mut open(task.config(SETTINGS), &folder, false).unwrap()).unwrap_err();
    assert_eq!((refusal(&error), newest(&folder).state.step), (Some(ErrorKind::StorageFull), 2), "{error}");

    disk.resize(bytes * 8);
    run(&mut open(task.config(SETTINGS), &folder, false).unwrap()).unwrap();
    assert_same_state(&folder, &task.path("whole"), "a run that went on after the disk was full");
}

#[test]
fn beyond_a_limit_on_file_sizes_the_earlier_checkpoint_stays() {
    if let Some((_, folder)) = role() {
        // In the child: the state does not fit into a file.
        let config =
            seqweave_train::config::Sources { files: vec![folder.join("config.toml")], sets: vec![] };
        let config = seqweave_train::config::Config::load(&config).unwrap().value;
        let error = run(&mut open(config, &folder, false).unwrap()).unwrap_err();
        assert_eq!(refusal(&error), Some(ErrorKind::FileTooLarge), "{error}");
        return println!("refused as it should be");
    }
    let task = Task::small();
    assert!(run(&mut task.open(SETTINGS, "whole").unwrap()).is_ok());
    assert_eq!(task.train_until(SETTINGS, "run", 2), seqweave_train::Outcome::Interrupted);
    let folder = task.path("run");
    let largest = std::fs::metadata(newest(&folder).folder.join("state.bin")).unwrap().len();
    // The shell counts in blocks of 512 or 1024 bytes; half of the size is too little in either.
    let shell = format!("trap '' XFSZ; ulimit -f {} || exit 99;", largest / 1024 / 2);
    let output =
        child(&shell, "disk::beyond_a_limit_on_file_sizes_the_earlier_checkpoint_stays", "limited", &folder)
            .wait_with_output()
            .unwrap();
    if output.status.code() == Some(99) {
        return println!("SKIPPED: the shell sets no limit on file sizes, so none was tried");
    }
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("refused as it should be"), "{stdout}\n{stderr}");
    assert_eq!((newest(&folder).state.step, temporaries(&folder)), (2, vec![]));
    run(&mut task.open(SETTINGS, "run").unwrap()).unwrap();
    assert_same_state(&folder, &task.path("whole"), "a run that went on without the limit");
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_that_cannot_grow_is_an_error_that_names_it() {
    let task = Task::small();
    let run_folder = task.path("run");
    std::fs::create_dir(&run_folder).unwrap();
    std::os::unix::fs::symlink("/dev/full", run_folder.join("log.jsonl")).unwrap();
    let error = run(&mut task.open(SETTINGS, "run").unwrap()).unwrap_err();
    assert_eq!(refusal(&error), Some(ErrorKind::StorageFull), "{error}");
    assert!(error.to_string().contains("log.jsonl"), "{error}");
}

#[test]
fn a_second_process_is_refused_until_the_first_has_ended() {
    let name = "disk::a_second_process_is_refused_until_the_first_has_ended";
    match role() {
        Some((role, folder)) if role == "second" => {
            let error = RunFolder::open(&folder).unwrap_err();
            let Error::RunLocked { pid: Some(pid), .. } = error else { panic!("{error}") };
            return println!("refused because of {pid}");
        }
        Some((_, folder)) => {
            let _held = RunFolder::open(&folder).unwrap();
            println!("held");
            // Until the parent ends this process.
            let _ = std::io::stdin().read(&mut [0]);
            return;
        }
        None => {}
    }
    let task = Task::small();
    let folder = task.path("run");
    let trainer = task.open(SETTINGS, "run").unwrap();
    let output = child("", name, "second", &folder).wait_with_output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let expected = format!("refused because of {}", std::process::id());
    assert!(output.status.success() && stdout.contains(&expected), "{stdout}");
    drop(trainer);

    // The other way round; SIGKILL leaves the lock file behind and frees the folder all the same.
    let mut holder = child("", name, "first", &folder);
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("held")), "the other process did not get the folder");
    let pid = holder.id();
    let Err(error) = task.open(SETTINGS, "run") else { panic!("the folder is held by {pid}") };
    assert!(matches!(error, Error::RunLocked { pid: Some(found), .. } if found == pid), "{error}");
    let message = error.to_string();
    assert!(
        message.contains(&format!("in use by the training process {pid}\nhelp: wait for it")),
        "{message}"
    );
    holder.kill().unwrap();
    holder.wait().unwrap();
    run(&mut task.open(SETTINGS, "run").unwrap()).unwrap();
    assert_eq!(checkpoint::list(&Disk, &folder).unwrap().len(), 2);
}
