//! A fresh folder per test, and the binary run in it.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A command that takes longer hangs, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(900);

/// The binary under test.
pub fn binary() -> PathBuf {
    let path = std::env::var_os("SEQWEAVE_BIN").expect(
        "SEQWEAVE_BIN must name the seqweave binary to test: run `cargo xtask test e2e`, which sets it",
    );
    std::path::absolute(path).expect("SEQWEAVE_BIN is a path")
}

/// A folder of files, in which commands run.
pub struct Dir {
    root: PathBuf,
    /// Removes the folder when the test ends.
    _guard: Option<tempfile::TempDir>,
}

impl Dir {
    /// An empty folder.
    pub fn new() -> Dir {
        let guard = tempfile::tempdir().expect("a temporary folder");
        // Messages show paths as the operating system resolves them, so the folder is named that way too.
        let root = guard.path().canonicalize().expect("the folder is there");
        Dir { root, _guard: Some(guard) }
    }

    /// A folder that is there already and stays.
    pub fn at(root: PathBuf) -> Dir {
        Dir { root, _guard: None }
    }

    pub fn path(&self) -> &Path {
        &self.root
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a file, and the folders above it.
    pub fn create(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.join(name);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).unwrap();
        std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    pub fn create_folder(&self, name: &str) {
        std::fs::create_dir_all(self.join(name)).unwrap();
    }

    pub fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        let path = self.join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn text(&self, name: impl AsRef<Path>) -> String {
        String::from_utf8(self.read(name)).expect("the file is UTF-8")
    }

    /// Changes bytes of a file.
    pub fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.read(name);
        change(&mut bytes);
        self.create(name, bytes);
    }

    /// Copies a folder of files and folders.
    pub fn copy(&self, from: &Path, name: &str) {
        fn walk(from: &Path, to: &Path) {
            std::fs::create_dir_all(to).unwrap();
            for entry in std::fs::read_dir(from).unwrap() {
                let (source, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
                if source.is_dir() {
                    walk(&source, &target);
                } else {
                    std::fs::copy(&source, &target).unwrap();
                }
            }
        }
        walk(from, &self.join(name));
    }

    /// Every file below a folder with its bytes, by its name in the folder.
    pub fn files(&self, name: &str) -> std::collections::BTreeMap<String, Vec<u8>> {
        fn walk(root: &Path, folder: &Path, files: &mut std::collections::BTreeMap<String, Vec<u8>>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(root, &path, files);
                } else {
                    let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                    files.insert(name, std::fs::read(&path).unwrap());
                }
            }
        }
        let (root, mut files) = (self.join(name), Default::default());
        walk(&root, &root, &mut files);
        files
    }

    /// `seqweave` with the words of `line`, to be run in this folder.
    pub fn seqweave(&self, line: &str) -> TestCommand {
        let mut command = Command::new(binary());
        command.current_dir(&self.root).args(line.split_whitespace());
        // What the caller's shell has set must not decide a test.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("SEQWEAVE_") || name.starts_with("CLICOLOR") || name == "NO_COLOR" {
                command.env_remove(name);
            }
        }
        command.env("COLUMNS", "100");
        // Nor whether the machine has a GPU.
        command.env("CUDA_VISIBLE_DEVICES", "");
        TestCommand { command, input: Vec::new(), line: format!("seqweave {line}") }
    }
}

/// A command that is about to run.
pub struct TestCommand {
    command: Command,
    input: Vec<u8>,
    line: String,
}

impl TestCommand {
    /// One more argument, which may have spaces.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.line = format!("{} {:?}", self.line, arg.as_ref());
        self.command.arg(arg);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// What the command finds on stdin; nothing by default.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Runs as a user who owns nothing, if the tests run as one who may do everything.
    ///
    /// For such a user the folder is opened, and the binary copied into it, since it may lie where others may not go.
    pub fn without_privileges(mut self, dir: &Dir) -> Self {
        let metadata = std::fs::metadata(dir.path()).unwrap();
        if metadata.uid() == 0 {
            std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
            let program = dir.join(".seqweave");
            std::fs::copy(binary(), &program).unwrap();
            std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
            let mut command = Command::new(program);
            command.current_dir(dir.path()).args(self.command.get_args()).uid(65534);
            for (name, value) in self.command.get_envs() {
                match value {
                    Some(value) => command.env(name, value),
                    None => command.env_remove(name),
                };
            }
            self.command = command;
        }
        self
    }

    /// Starts the command. Its stdin has what [`TestCommand::stdin`] gave, and then ends.
    #[track_caller]
    pub fn start(self) -> Running {
        let line = self.line.clone();
        self.try_start().unwrap_or_else(|error| panic!("`{line}` does not start: {error}"))
    }

    /// Starts the command, if the operating system lets us.
    pub fn try_start(self) -> std::io::Result<Running> {
        let input = self.input.clone();
        let (running, mut stdin) = self.start_interactive()?;
        // A command that ends before it has read everything closes the pipe, which is its right.
        thread::spawn(move || drop(stdin.write_all(&input)));
        Ok(running)
    }

    /// Starts the command with a stdin that stays open.
    pub fn start_interactive(mut self) -> std::io::Result<(Running, ChildStdin)> {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn()?;
        let stdin = child.stdin.take().expect("piped");
        let stderr = read_all(child.stderr.take().expect("piped"));
        Ok((Running { child, stderr, line: self.line, started: Instant::now() }, stdin))
    }

    /// Runs the command to its end.
    #[track_caller]
    pub fn run(self) -> Ran {
        self.start().finish()
    }
}

fn read_all(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("the pipe is readable");
        bytes
    })
}

/// A command that runs.
pub struct Running {
    child: Child,
    stderr: JoinHandle<Vec<u8>>,
    line: String,
    started: Instant,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until something is so; the command must not end before.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, is_so: impl Fn() -> bool) {
        while !is_so() {
            let ended = self.child.try_wait().expect("the child can be asked");
            assert!(ended.is_none(), "`{}` ended ({ended:?}) before {what}", self.line);
            assert!(self.started.elapsed() < LIMIT, "`{}`: no {what} in {LIMIT:?}", self.line);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal by its name: `INT`, `TERM`.
    pub fn signal(&self, name: &str) {
        // Sending a signal is unsafe code in Rust and one word in the shell.
        let kill = format!("kill -s {name} {}", self.pid());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success(), "{kill}");
    }

    /// The standard output; closing it is up to the caller.
    pub fn take_stdout(&mut self) -> std::process::ChildStdout {
        self.child.stdout.take().expect("it was not taken before")
    }

    /// Waits for the end.
    #[track_caller]
    pub fn finish(mut self) -> Ran {
        let stdout = self.child.stdout.take().map(read_all);
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                break status;
            }
            if self.started.elapsed() > LIMIT {
                self.child.kill().expect("the child can be killed");
                panic!("`{}` did not end in {LIMIT:?}", self.line);
            }
            thread::sleep(Duration::from_millis(2));
        };
        let ran = Ran {
            code: status.code(),
            stdout: stdout.map(|thread| thread.join().expect("stdout is read")).unwrap_or_default(),
            stderr: String::from_utf8(self.stderr.join().expect("stderr is read")).expect("stderr is UTF-8"),
            line: self.line,
            took: self.started.elapsed(),
        };
        assert!(!ran.stderr.contains("panicked"), "a panic:\n{}", ran.report());
        ran
    }
}

/// A command that has run.
pub struct Ran {
    /// None when a signal ended it.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub line: String,
    pub took: Duration,
}

impl Ran {
    /// The exit code was this.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "wrong exit code\n{}", self.report());
        self
    }

    /// It went well.
    #[track_caller]
    pub fn good(self) -> Self {
        self.exits(0)
    }

    /// The messages contain this.
    #[track_caller]
    pub fn says(self, part: &str) -> Self {
        assert!(self.stderr.contains(part), "`{part}` is not said\n{}", self.report());
        self
    }

    /// There were no messages.
    #[track_caller]
    pub fn silent(self) -> Self {
        assert_eq!(self.stderr, "", "something is said\n{}", self.report());
        self
    }

    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("stdout is UTF-8")
    }

    /// The lines of stdout, each of which has ended.
    #[track_caller]
    pub fn lines(&self) -> Vec<&str> {
        let text = self.text();
        assert!(text.is_empty() || text.ends_with('\n'), "the last line has no end\n{}", self.report());
        // `str::lines` would also swallow a carriage return.
        text.split_terminator('\n').collect()
    }

    /// Stdout as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|e| panic!("not JSON: {e}\n{}", self.report()))
    }

    /// Each line of stdout as a JSON document.
    #[track_caller]
    pub fn jsonl(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON: {e}: {line}"));
        self.lines().into_iter().map(parse).collect()
    }

    pub fn report(&self) -> String {
        let cut = |text: &str| match text.char_indices().nth(4000) {
            Some((at, _)) => format!("{} … ({} bytes)", &text[..at], text.len()),
            None => text.to_owned(),
        };
        format!(
            "---- `{}` ended with {:?}\n---- stdout\n{}\n---- stderr\n{}\n----",
            self.line,
            self.code,
            cut(&String::from_utf8_lossy(&self.stdout)),
            cut(&self.stderr)
        )
    }
}

/// Says that a test could not ask its question, past the capture of the test harness.
pub fn skipped(why: &str) {
    // Whoever reads the log must see it, and `cargo xtask test` counts these lines.
    writeln!(std::io::stdout(), "skipped: {why}").expect("stdout is writable");
}
