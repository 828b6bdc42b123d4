//! `translate`: lines in, lines out, as many and in the same order.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::path::Path;

use seqweave::{Dictionary, TranslateOptions, Translation, Translator};
use seqweave_data::read_lines;
use tempfile::{NamedTempFile, TempPath};

use super::wishes::{Wishes, lines_of};
use super::{open_ensemble, translate_options};
use crate::args::Format;
use crate::chunks::chunks;
use crate::exit::{Exit, Failure, Outcome, advice};
use crate::output::{TranslationRecord, alignment, one_line};
use crate::resolve::{Context, Sink, Source, Translate};
use crate::ui::Ui;

/// Batches in a chunk, so that lines of like length find each other.
const BATCHES: usize = 8;

/// Translates until the input ends.
///
/// # Errors
/// When the model, the input or the output is refused. Lines before a bad line are written, unless the output is a file
/// that was there before: that one is left as it was.
pub fn run(ui: &Ui, context: &Context, job: Translate) -> Outcome {
    let translator = open_ensemble(ui, context, &job.models)?;
    let options = options(&translator, &job)?;
    let mut wishes = Wishes::open(&job.wishes)?;
    let (input, name) = open_input(ui, &job.input)?;
    let (mut output, replacement) = open_output(&job.output)?;
    let to_alignments = job.wishes.alignments.clone().map(Sink::File);
    let mut alignments = to_alignments.as_ref().map(open_output).transpose()?;
    let mut id = 0;
    for chunk in chunks(read_lines(input, name), BATCHES * options.batch) {
        let lines = chunk?;
        let wished = wishes.beside(&lines)?;
        let translations = translator.translate_lines(&wished.lines(&lines), &options);
        let translations = translations.map_err(|error| wishes.place(error, id))?;
        if let (Some((file, _)), Some(sink)) = (&mut alignments, &to_alignments) {
            let links = |translation: &Translation| match translation.best() {
                Some(best) if job.wishes.align_words => translator.word_alignment(translation, best),
                best => best.map(|best| translation.alignment(best)).unwrap_or_default(),
            };
            let written = translations.iter().try_for_each(|t| writeln!(file, "{}", alignment(&links(t))));
            written.and_then(|()| file.flush()).map_err(|e| cannot_write(sink, e))?;
        }
        let count = lines.len() as u64;
        let written = match job.format {
            Format::Text => translations.iter().try_for_each(|t| writeln!(output, "{}", one_line(t.text()))),
            Format::Jsonl => {
                (id..).zip(lines).zip(&translations).try_for_each(|((id, line), translation)| {
                    let record =
                        TranslationRecord::of(id, line, translation, job.fields, options.search.n_best);
                    serde_json::to_writer(&mut output, &record)?;
                    output.write_all(b"\n")
                })
            }
        };
        // Whoever waits for these lines gets them before the next ones are read.
        written.and_then(|()| output.flush()).map_err(|e| cannot_write(&job.output, e))?;
        id += count;
    }
    wishes.finish(id)?;
    let with_alignments = alignments.and_then(|(_, replacement)| replacement);
    for (beside, path) in replacement.into_iter().chain(with_alignments) {
        let sink = Sink::File(path.to_owned());
        beside.persist(path).map_err(|e| cannot_write(&sink, e.error))?;
    }
    ui.detail(format!("translated {id} lines"));
    Ok(Exit::Good)
}

/// The model's own options, with those of the command line in their place.
fn options(translator: &Translator, job: &Translate) -> Outcome<TranslateOptions> {
    let mut options = translate_options(translator, &job.search);
    let search = &mut options.search;
    if let Some(sample) = job.sample {
        search.sampling = sample.over(search.sampling.clone());
    }
    search.sampling.seed = job.seed.unwrap_or(search.sampling.seed);
    let (beam, own) = (search.beam, translator.defaults().search.n_best);
    search.n_best = match job.n_best {
        Some(n_best) if n_best > beam && !search.sampling.on => {
            let problem = format!("--n-best {n_best} is more than the model's beam of {beam}");
            return Err(Failure::usage(problem).help(format!("add --beam {n_best}")));
        }
        Some(n_best) => n_best,
        // A beam that was asked for may hold fewer than the model's makers wanted.
        None if search.sampling.on => own,
        None => own.min(beam),
    };
    if job.wishes.alignments.is_some() && !translator.has_attention() {
        return Err(seqweave::Error::NoAttention { what: "--alignments" }.into());
    }
    if let Some(path) = &job.wishes.forbid {
        options.forbidden = lines_of(path)?;
    }
    if job.wishes.replace_unk {
        let dictionary = job.wishes.dictionary.as_deref().map(Dictionary::from_tsv).transpose()?;
        options.replace_unknown = Some(dictionary.unwrap_or_default());
    }
    Ok(options)
}

fn open_input(ui: &Ui, input: &Source) -> Outcome<(Box<dyn BufRead + Send>, String)> {
    match input {
        Source::Stdin => {
            if io::stdin().is_terminal() {
                ui.note("type a line to translate it; Ctrl-D ends");
            }
            Ok((Box::new(BufReader::new(io::stdin())), "stdin".to_owned()))
        }
        Source::File(path) => {
            let file =
                File::open(path).map_err(|e| Failure::refused(Exit::Data, "open the input", path, &e))?;
            Ok((Box::new(BufReader::new(file)), path.display().to_string()))
        }
    }
}

/// An error of the output that names it; a reader that went away stays recognisable.
fn cannot_write(output: &Sink, error: io::Error) -> Failure {
    let help = advice(error.kind());
    match output {
        Sink::Stdout => Failure::from(error).context("cannot write to stdout"),
        Sink::File(path) => {
            Failure::from(error).context("cannot write the output").at(path.display()).help(help)
        }
    }
}

/// A file beside the output, and the output that it replaces when all is well.
type Replacement<'a> = (TempPath, &'a Path);

/// Where lines go. A file that is there already is replaced at the end, so that input which turns out bad loses nothing.
fn open_output(output: &Sink) -> Outcome<(Box<dyn Write>, Option<Replacement<'_>>)> {
    let path = match output {
        Sink::Stdout => return Ok((Box::new(BufWriter::new(io::stdout().lock())), None)),
        Sink::File(path) => path,
    };
    let open = || -> io::Result<(File, Option<Replacement<'_>>)> {
        // Devices and pipes are written as they are; so is a link, which leads somewhere else.
        let there = match path.symlink_metadata() {
            Ok(there) if there.is_file() => there,
            _ => return Ok((File::create(path)?, None)),
        };
        // A file that may not be written must not be replaced either.
        File::options().write(true).open(path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let (file, beside) = NamedTempFile::new_in(folder)?.into_parts();
        file.set_permissions(there.permissions())?;
        Ok((file, Some((beside, path))))
    };
    let (file, replacement) =
        open().map_err(|e| Failure::refused(Exit::Failed, "create the output", path, &e))?;
    Ok((Box::new(BufWriter::new(file)), replacement))
}
