//! How a run of the program ends: exit codes, and errors as people read them.

use std::fmt::{self, Write as _};
use std::io;
use std::path::Path;

/// What the process tells its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Good = 0,
    /// Something failed while running.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The configuration makes no sense.
    Config = 3,
    /// Input data or a file format is wrong.
    Data = 4,
    /// Training diverged; a usable checkpoint is left.
    Diverged = 5,
    /// A quality gate (`--fail-under`) was not met.
    Gate = 6,
    /// Interrupted by SIGINT; training state is saved.
    Interrupted = 130,
    /// Interrupted by SIGTERM; training state is saved.
    Terminated = 143,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error on its way to the terminal.
///
/// It prints as
/// ```text
/// error: what
///   --> where
/// cause: why
/// help: next step
/// ```
/// Any error turns into one by `?`; its exit code is then found by [`Exit::of`].
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    error: anyhow::Error,
    place: Option<String>,
    help: Option<String>,
}

/// The result of a command.
pub type Outcome<T = Exit> = Result<T, Failure>;

impl Failure {
    /// An error of our own making.
    pub fn new(exit: Exit, what: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Self {
        Self { exit, error: anyhow::Error::msg(what), place: None, help: None }
    }

    /// A command line that parses but makes no sense.
    pub fn usage(what: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// The operating system refused to do something about a file.
    pub fn refused(exit: Exit, action: &str, path: &Path, error: &io::Error) -> Self {
        let help = advice(error.kind());
        Self::new(exit, format!("cannot {action}: {error}")).at(path.display()).help(help)
    }

    /// Says where: a file, a line, an option.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self { place: Some(place.to_string()), ..self }
    }

    /// Says what to do next.
    #[must_use]
    pub fn help(self, help: impl fmt::Display) -> Self {
        Self { help: Some(help.to_string()), ..self }
    }

    /// Puts what was being done in front of the reason.
    #[must_use]
    pub fn context(self, what: impl fmt::Display + Send + Sync + 'static) -> Self {
        Self { error: self.error.context(what), ..self }
    }

    /// Whether the reader of our output went away, which is no error of anybody.
    pub fn is_broken_pipe(&self) -> bool {
        self.error
            .chain()
            .filter_map(|e| e.downcast_ref::<io::Error>())
            .any(|e| e.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The text for the terminal; `paint` colours a leading word.
    ///
    /// Messages of our libraries end in a line `help: …`; it is moved to the end, after the causes.
    pub fn render(&self, paint: impl Fn(&'static str) -> String) -> String {
        let message = self.error.to_string();
        let (what, help) = split_help(&message);
        let mut text = format!("{} {what}", paint("error:"));
        let mut help = self.help.as_deref().or(help).map(str::to_owned);
        if let Some(place) = &self.place {
            let _ = write!(text, "\n  --> {place}");
        }
        let mut said = message.clone();
        for cause in self.error.chain().skip(1) {
            let cause = cause.to_string();
            let (why, advice) = split_help(&cause);
            help = help.or(advice.map(str::to_owned));
            // Many errors already quote their source; saying it twice helps nobody.
            if said.contains(why) {
                continue;
            }
            let _ = write!(text, "\n{} {why}", paint("cause:"));
            said.push_str(why);
        }
        if let Some(help) = help {
            let _ = write!(text, "\n{} {help}", paint("help:"));
        }
        text
    }
}

/// What to do about a file that the operating system refuses to open, read or write.
pub fn advice(reason: io::ErrorKind) -> &'static str {
    match reason {
        io::ErrorKind::NotFound => "check the path; relative paths start at the working directory",
        io::ErrorKind::PermissionDenied => "check the permissions, or name another place",
        io::ErrorKind::IsADirectory => "name a file, not a folder",
        io::ErrorKind::NotADirectory => "a part of the path is a file; check it",
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::StorageFull => "name a place on another disk",
        _ => "check the path, the permissions and the disk",
    }
}

/// A message and the advice at its end.
fn split_help(message: &str) -> (&str, Option<&str>) {
    match message.split_once("\nhelp: ") {
        Some((what, help)) => (what, Some(help)),
        None => (message, None),
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        Self { exit: Exit::of(&error), error, place: None, help: None }
    }
}

impl Exit {
    /// The exit code that an error deserves, found from the first error of its chain that we know.
    pub fn of(error: &anyhow::Error) -> Exit {
        let known = |e: &(dyn std::error::Error + 'static)| {
            e.downcast_ref()
                .map(of_train)
                .or_else(|| e.downcast_ref().map(of_model_folder))
                .or_else(|| e.downcast_ref().map(of_data))
                .or_else(|| e.downcast_ref().map(of_model))
        };
        error.chain().find_map(known).unwrap_or(Exit::Failed)
    }
}

fn of_train(error: &seqweave_train::Error) -> Exit {
    use seqweave_train::Error;
    match error {
        // Settings that do not fit the run folder are settings to be changed.
        Error::Config(_)
        | Error::ConfigRead { .. }
        | Error::OtherRun { .. }
        | Error::NothingToTake { .. } => Exit::Config,
        // So is the size of a model that is to be made.
        Error::Layer(seqweave_nn::Error::TooLarge { .. }) => Exit::Config,
        Error::Data(inner) => of_data(inner),
        Error::Store(inner) => of_model_folder(inner),
        Error::Model(inner) => of_model(inner),
        Error::NoGoodCheckpoint { .. }
        | Error::TooFewCheckpoints { .. }
        | Error::State { .. }
        | Error::StateVersion { .. } => Exit::Data,
        _ => Exit::Failed,
    }
}

fn of_model_folder(error: &seqweave::Error) -> Exit {
    use seqweave::Error;
    match error {
        Error::Io { .. } | Error::Params(_) => Exit::Failed,
        Error::TooFewModels { .. } | Error::NoAttention { .. } => Exit::Usage,
        Error::Data(inner) => of_data(inner),
        Error::Model(inner) => of_model(inner),
        // Everything else says that a model folder or checkpoint is not what it should be.
        _ => Exit::Data,
    }
}

fn of_data(error: &seqweave_data::Error) -> Exit {
    use seqweave_data::Error;
    match error {
        Error::Config { .. }
        | Error::TooFewPieces { .. }
        | Error::ShardSettings { .. }
        | Error::ShardTokens { .. }
        | Error::OtherTokenizer { .. }
        | Error::NotShared { .. } => Exit::Config,
        // Making a folder of shards, and what it takes.
        Error::Thread { .. } | Error::FolderExists { .. } => Exit::Failed,
        Error::Io { action, .. } if !matches!(*action, "open" | "read" | "map") => Exit::Failed,
        _ => Exit::Data,
    }
}

fn of_model(error: &seqweave_seq2seq::Error) -> Exit {
    use seqweave_seq2seq::Error;
    match error {
        Error::Config { .. } => Exit::Config,
        Error::Option { .. } | Error::RequiredOfSamples { .. } => Exit::Usage,
        // Wishes that cannot be fulfilled come from files beside the input.
        Error::EmptyPhrase { .. }
        | Error::Contradiction { .. }
        | Error::NoRoom { .. }
        | Error::Unsatisfied { .. }
        | Error::OtherVocabulary { .. }
        | Error::OtherPositions { .. } => Exit::Data,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    fn plain(failure: &Failure) -> String {
        failure.render(str::to_owned)
    }

    #[test]
    fn parts_stand_on_their_own_lines() {
        let failure = Failure::new(Exit::Data, "no such column")
            .at("words.tsv:3")
            .help("separate the columns with a tab");
        assert_eq!(
            plain(&failure),
            "error: no such column\n  --> words.tsv:3\nhelp: separate the columns with a tab"
        );
    }

    #[test]
    fn causes_are_told_once() {
        let io = io::Error::new(io::ErrorKind::NotFound, "gone");
        let failure = Failure::from(Err::<(), _>(io).context("cannot read x").unwrap_err());
        assert_eq!(plain(&failure), "error: cannot read x\ncause: gone");
        let io = io::Error::new(io::ErrorKind::NotFound, "gone");
        let failure = Failure::from(Err::<(), _>(io).context("cannot read x: gone").unwrap_err());
        assert_eq!(plain(&failure), "error: cannot read x: gone");
        assert_eq!(failure.exit, Exit::Failed);
        let failure = failure.context("cannot translate");
        assert_eq!(plain(&failure), "error: cannot translate\ncause: cannot read x: gone");
    }

    #[test]
    fn advice_of_a_library_comes_last() {
        let inner = anyhow::anyhow!("a.txt:3: NUL character\nhelp: remove it");
        let failure = Failure::from(inner).context("cannot translate");
        assert_eq!(
            plain(&failure),
            "error: cannot translate\ncause: a.txt:3: NUL character\nhelp: remove it"
        );
        let inner = anyhow::anyhow!("a.txt:3: NUL character\nhelp: remove it");
        let quoted = Failure::from(inner.context("cannot translate: a.txt:3: NUL character"));
        assert_eq!(plain(&quoted), "error: cannot translate: a.txt:3: NUL character\nhelp: remove it");
        let failure = failure.help("try another file");
        assert!(plain(&failure).ends_with("NUL character\nhelp: try another file"));
    }

    #[test]
    fn library_errors_have_their_codes_through_every_wrapper() {
        let missing = || seqweave_data::Error::NotFound { name: "x".to_owned() };
        let option = || seqweave_seq2seq::Error::Option { key: "beam", expected: "1", found: "0".to_owned() };
        let no_folder = || seqweave::Error::NoCheckpoint { run: "r".into() };
        let io = || seqweave::Error::Io { op: "read", path: "x".into(), source: io::Error::other("y") };
        for (error, exit) in [
            (anyhow::Error::from(missing()), Exit::Data),
            (seqweave::Error::from(missing()).into(), Exit::Data),
            (seqweave_train::Error::from(missing()).into(), Exit::Data),
            (seqweave_train::Error::from(seqweave::Error::from(option())).into(), Exit::Usage),
            (seqweave_train::Error::from(no_folder()).into(), Exit::Data),
            (anyhow::Error::from(no_folder()).context("opening"), Exit::Data),
            (seqweave_train::Error::from(io()).into(), Exit::Failed),
            (anyhow::anyhow!("something else"), Exit::Failed),
        ] {
            assert_eq!(Exit::of(&error), exit, "{error:#}");
        }
        let source = io::Error::other("y");
        let read = seqweave_train::Error::ConfigRead { path: "c".into(), source };
        assert_eq!(Exit::of(&read.into()), Exit::Config);
    }

    #[test]
    fn broken_pipes_are_recognised_through_wrappers() {
        let broken = || io::Error::new(io::ErrorKind::BrokenPipe, "pipe");
        assert!(Failure::from(broken()).is_broken_pipe());
        assert!(Failure::from(anyhow::Error::from(broken()).context("writing")).is_broken_pipe());
        assert!(!Failure::usage("no").is_broken_pipe());
    }
}
