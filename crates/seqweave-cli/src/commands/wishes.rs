//! Files that stand beside the input of `translate`: a line for each of its lines.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use seqweave::{Error, Line};
use seqweave_data::{Lines, read_lines};
use seqweave_seq2seq::Error as Model;

use crate::exit::{Exit, Failure, Outcome};
use crate::resolve;

/// What outputs hold, read line by line with the input.
pub struct Wishes {
    prefix: Option<Beside>,
    require: Option<Beside>,
    forbid: Option<PathBuf>,
}

/// The wishes for some lines.
pub struct Wished {
    prefixes: Vec<String>,
    required: Vec<Vec<String>>,
}

impl Wishes {
    /// Opens the files that there are.
    pub fn open(files: &resolve::Wishes) -> Outcome<Self> {
        let open = |path: &Option<PathBuf>| path.as_deref().map(Beside::open).transpose();
        Ok(Self {
            prefix: open(&files.prefix)?,
            require: open(&files.require)?,
            forbid: files.forbid.clone(),
        })
    }

    /// The wishes for the next lines.
    pub fn beside(&mut self, lines: &[String]) -> Outcome<Wished> {
        let next = |file: &mut Option<Beside>| match file {
            Some(file) => file.take(lines.len()),
            None => Ok(vec![String::new(); lines.len()]),
        };
        let phrases = |line: String| match line.trim() {
            "" => Vec::new(),
            _ => line.split('\t').map(str::to_owned).collect(),
        };
        let (prefixes, required) = (next(&mut self.prefix)?, next(&mut self.require)?);
        Ok(Wished { prefixes, required: required.into_iter().map(phrases).collect() })
    }

    /// Refuses files that go on after the input, which had `lines` lines.
    pub fn finish(&mut self, lines: u64) -> Outcome<()> {
        let mut files = [&mut self.prefix, &mut self.require].into_iter().flatten();
        files.try_for_each(|file| file.finish(lines))
    }

    /// An error about a sentence of a chunk as one about a line of the input, with the file that it comes from; `first` is
    /// the index of the first line of the chunk.
    pub fn place(&self, mut error: Error, first: u64) -> Failure {
        if let Some(sentence) = sentence_of(&mut error) {
            *sentence += first as usize;
        }
        let at = |file: &Option<Beside>, sentence: usize| {
            file.as_ref().map(|file| format!("{}:{}", file.path.display(), sentence + 1))
        };
        let place = match &error {
            Error::Phrase { list: "prefix", sentence: Some(sentence), .. } => at(&self.prefix, *sentence),
            Error::Phrase { sentence: Some(sentence), .. } | Error::Contradiction { sentence, .. } => {
                at(&self.require, *sentence)
            }
            Error::Phrase { sentence: None, number, .. } => {
                self.forbid.as_ref().map(|path| format!("{}:{}", path.display(), number + 1))
            }
            Error::Model(Model::NoRoom { sentence, .. } | Model::Unsatisfied { sentence }) => {
                at(&self.require, *sentence).or_else(|| at(&self.prefix, *sentence))
            }
            _ => None,
        };
        match place {
            Some(place) => Failure::from(error).at(place),
            None => Failure::from(error),
        }
    }
}

/// The sentence that an error names, if it names one.
fn sentence_of(error: &mut Error) -> Option<&mut usize> {
    match error {
        Error::Phrase { sentence, .. } | Error::Model(Model::EmptyPhrase { sentence, .. }) => {
            sentence.as_mut()
        }
        Error::Contradiction { sentence, .. }
        | Error::Model(
            Model::Contradiction { sentence, .. }
            | Model::NoRoom { sentence, .. }
            | Model::RequiredOfSamples { sentence }
            | Model::Unsatisfied { sentence }
            | Model::NotANumber { sentence, .. },
        ) => Some(sentence),
        _ => None,
    }
}

impl Wished {
    /// The lines with their wishes.
    pub fn lines<'a>(&'a self, lines: &'a [String]) -> Vec<Line<'a>> {
        let wishes = self.prefixes.iter().zip(&self.required);
        lines.iter().zip(wishes).map(|(text, (prefix, required))| Line { text, prefix, required }).collect()
    }
}

/// A file beside the input.
struct Beside {
    path: PathBuf,
    lines: Lines<BufReader<File>>,
    read: usize,
}

impl Beside {
    fn open(path: &Path) -> Outcome<Self> {
        let file = File::open(path).map_err(|e| Failure::refused(Exit::Data, "open the file", path, &e))?;
        let lines = read_lines(BufReader::new(file), path.display().to_string());
        Ok(Self { path: path.to_owned(), lines, read: 0 })
    }

    fn take(&mut self, count: usize) -> Outcome<Vec<String>> {
        let lines = self.lines.by_ref().take(count).collect::<Result<Vec<_>, _>>()?;
        self.read += lines.len();
        if lines.len() < count {
            let lines = if self.read == 1 { "line" } else { "lines" };
            let what = format!("the file has {} {lines}, and the input has more", self.read);
            return Err(self.uneven(what));
        }
        Ok(lines)
    }

    fn finish(&mut self, lines: u64) -> Outcome<()> {
        match self.lines.next() {
            None => Ok(()),
            Some(_) => Err(self.uneven(format!("the input has {lines} lines, and the file has more"))),
        }
    }

    fn uneven(&self, what: String) -> Failure {
        let help = "give a line for each line of input; it may be empty";
        Failure::new(Exit::Data, what).at(self.path.display()).help(help)
    }
}

/// Every line of a file.
pub fn lines_of(path: &Path) -> Outcome<Vec<String>> {
    Ok(Beside::open(path)?.lines.collect::<Result<_, _>>()?)
}
