//! `translate`, resolved.

use std::path::{Path, PathBuf};

use seqweave_seq2seq::search::Sampling;

use super::{Context, Search, search};
use crate::args::{self, Field, Format};
use crate::exit::{Failure, Outcome};

/// Where lines come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

/// Optional fields of a translation record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fields {
    /// Search score and log-probability.
    pub score: bool,
    /// The alignment.
    pub align: bool,
    /// The tokens of both sides.
    pub tokens: bool,
}

/// Values of `translate`.
#[derive(Debug)]
pub struct Translate {
    /// The model folders.
    pub models: Vec<PathBuf>,
    /// Input.
    pub input: Source,
    /// Output.
    pub output: Sink,
    /// Format of the output.
    pub format: Format,
    /// Optional fields.
    pub fields: Fields,
    /// Candidates for each line, where it overrides the model's number; text output has one.
    pub n_best: Option<usize>,
    /// The search.
    pub search: Search,
    /// Drawing instead of searching.
    pub sample: Option<Sample>,
    /// Seed of the draws, where it overrides the model's.
    pub seed: Option<u64>,
    /// What outputs hold.
    pub wishes: Wishes,
}

/// How to draw, as far as it was said; the rest comes with the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    temperature: Option<f64>,
    top_k: Option<usize>,
    top_p: Option<f64>,
}

/// What outputs hold, and what is done with unknown words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// File of beginnings, a line for each line of input.
    pub prefix: Option<PathBuf>,
    /// File of required phrases, a line for each line of input.
    pub require: Option<PathBuf>,
    /// File of forbidden phrases, one a line.
    pub forbid: Option<PathBuf>,
    /// Whether unknown words are replaced.
    pub replace_unk: bool,
    /// File of pairs for their replacement.
    pub dictionary: Option<PathBuf>,
    /// Where alignments go.
    pub alignments: Option<PathBuf>,
    /// Words are aligned, and not tokens.
    pub align_words: bool,
}

impl Sample {
    /// The model's own options, with what was said on the command line in their place.
    pub fn over(self, defaults: Sampling) -> Sampling {
        Sampling {
            on: true,
            temperature: self.temperature.unwrap_or(defaults.temperature),
            top_k: self.top_k.unwrap_or(defaults.top_k),
            top_p: self.top_p.unwrap_or(defaults.top_p),
            seed: defaults.seed,
        }
    }
}

pub(super) fn translate(raw: args::Translate, context: &Context) -> Outcome<Translate> {
    let args::Translate {
        models,
        input,
        output,
        format,
        with,
        n_best,
        search: raw_search,
        sample: raw_sample,
        wishes: raw_wishes,
    } = raw;
    let search = search(raw_search)?;
    let is_many = n_best.is_some_and(|n| n > 1);
    if format == Format::Text && (is_many || !with.is_empty()) {
        let option = if is_many { "--n-best" } else { "--with" };
        return Err(Failure::usage(format!(
            "{option} has no place in text output, which is one line per line"
        ))
        .help("add --format jsonl"));
    }
    if let (Some(beam), Some(n_best)) = (search.beam, n_best)
        && n_best > beam
    {
        return Err(Failure::usage(format!("--n-best {n_best} is more than a beam of {beam} can give"))
            .help(format!("use --beam {n_best} or more")));
    }
    let input = match stream(input) {
        None => Source::Stdin,
        Some(path) => Source::File(path),
    };
    let output = match stream(output) {
        None => Sink::Stdout,
        Some(path) => Sink::File(path),
    };
    let fields = Fields {
        score: with.contains(&Field::Score),
        align: with.contains(&Field::Align),
        tokens: with.contains(&Field::Tokens),
    };
    let args::Sample { sample, temperature, top_k, top_p } = raw_sample;
    let args::Wishes { prefix_file, require_file, forbid, replace_unk, dictionary, alignments, align_words } =
        raw_wishes;
    let alignments = match alignments {
        Some(path) if path.as_os_str() == "-" => {
            return Err(Failure::usage("--alignments needs a file: translations go to standard output")
                .help("name a file, or use --format jsonl --with align"));
        }
        other => other,
    };
    let named = |sink: &Sink| if let Sink::File(path) = sink { Some(path.clone()) } else { None };
    let source = if let Source::File(path) = &input { Some(path.clone()) } else { None };
    nothing_is_overwritten(
        [("--output", named(&output)), ("--alignments", alignments.clone())],
        [
            ("--input", source),
            ("--prefix-file", prefix_file.clone()),
            ("--require-file", require_file.clone()),
            ("--forbid", forbid.clone()),
            ("--dictionary", dictionary.clone()),
        ],
    )?;
    Ok(Translate {
        models: models.dirs,
        input,
        output,
        format,
        fields,
        n_best: if format == Format::Text { Some(1) } else { n_best },
        search,
        sample: sample.then_some(Sample { temperature, top_k, top_p }),
        seed: context.seed,
        wishes: Wishes {
            prefix: prefix_file,
            require: require_file,
            forbid,
            replace_unk,
            dictionary,
            alignments,
            align_words,
        },
    })
}

/// A named file, or `None` for the standard stream.
fn stream(path: Option<PathBuf>) -> Option<PathBuf> {
    path.filter(|path| path.as_os_str() != "-")
}

/// Refuses an output that is an input, which would be lost, or another output.
fn nothing_is_overwritten<const O: usize, const I: usize>(
    outputs: [(&str, Option<PathBuf>); O],
    inputs: [(&str, Option<PathBuf>); I],
) -> Outcome<()> {
    let mut taken: Vec<(&str, PathBuf)> = inputs.into_iter().filter_map(|(n, p)| Some((n, p?))).collect();
    for (option, path) in outputs.into_iter().filter_map(|(option, path)| Some((option, path?))) {
        if let Some((other, _)) = taken.iter().find(|(_, other)| is_same_file(other, &path)) {
            let problem = format!("{other} and {option} are the same file");
            return Err(Failure::usage(problem).at(path.display()));
        }
        taken.push((option, path));
    }
    Ok(())
}

/// Whether two paths lead to one file, which need not be there yet.
fn is_same_file(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let there = || Some(folder.canonicalize().ok()?.join(path.file_name()?));
        path.canonicalize().ok().or_else(there).or_else(|| std::path::absolute(path).ok())
    };
    place(a) == place(b)
}

#[cfg(test)]
mod tests {
    use super::super::Task;
    use super::super::tests::{refused, task};
    use super::*;
    use seqweave_seq2seq::search::{LengthPenalty, MaxLen, SearchOptions};

    #[test]
    fn translate_defaults_to_text_through_standard_streams() {
        let Task::Translate(t) = task("translate -m m") else { panic!() };
        assert_eq!(
            (t.input, t.output, t.format, t.n_best),
            (Source::Stdin, Sink::Stdout, Format::Text, Some(1))
        );
        assert_eq!(t.fields, Fields::default());
        assert_eq!((t.search.beam, t.search.batch), (None, 32));
        let Task::Translate(t) = task("translate -m m -i - -o -") else { panic!() };
        assert_eq!((t.input, t.output), (Source::Stdin, Sink::Stdout));
    }

    #[test]
    fn translate_reads_every_search_option() {
        let line = "translate -m m -b 4 --n-best 4 --length-penalty gnmt=0.8 --coverage-penalty 0.2 \
                    --max-len 3x+1 --min-len 2 --batch 7 --no-repeat-ngram 3 --repetition-penalty 1.5 --no-unk --format jsonl --with score,align";
        let Task::Translate(t) = task(&line.split_whitespace().collect::<Vec<_>>().join(" ")) else {
            panic!()
        };
        let search = Search {
            beam: Some(4),
            length_penalty: Some(LengthPenalty::Gnmt { alpha: 0.8 }),
            coverage_penalty: Some(0.2),
            max_len: Some(MaxLen { ratio: 3.0, add: 1 }),
            min_len: Some(2),
            no_repeat_ngram: Some(3),
            repetition_penalty: Some(1.5),
            no_unk: true,
            batch: 7,
        };
        assert_eq!((t.search, t.n_best), (search, Some(4)));
        assert_eq!(t.fields, Fields { score: true, align: true, tokens: false });
    }

    #[test]
    fn what_is_not_said_comes_with_the_model() {
        let Task::Translate(t) = task("translate -m m --min-len 3") else { panic!() };
        let model = SearchOptions { beam: 7, n_best: 4, coverage_penalty: 0.2, ..SearchOptions::default() };
        let want = SearchOptions { n_best: 1, min_len: 3, ..model.clone() };
        assert_eq!(t.search.over(model), want);
    }

    #[test]
    fn input_must_not_be_output() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.txt");
        std::fs::write(&file, "x\n").unwrap();
        let (a, b) = (file.display(), dir.path().join(".").join("a.txt"));
        let text = refused(&format!("translate -m m -i {a} -o {}", b.display()));
        assert!(text.contains("are the same file"), "{text}");
    }

    #[test]
    fn a_beam_is_a_search_and_a_sample_is_not() {
        let drawn = Sampling { on: true, top_k: 5, seed: 3, ..Sampling::default() };
        let model = SearchOptions { sampling: drawn.clone(), ..SearchOptions::default() };
        let Task::Translate(t) = task("translate -m m") else { panic!() };
        assert_eq!((t.search.over(model.clone()).sampling, t.sample), (drawn.clone(), None));
        let Task::Translate(t) = task("translate -m m --beam 3") else { panic!() };
        assert!(!t.search.over(model).sampling.on);
        let Task::Translate(t) = task("translate -m m --sample --top-p 0.9 --seed 8") else { panic!() };
        assert_eq!(t.sample.unwrap().over(drawn.clone()), Sampling { top_p: 0.9, ..drawn });
        assert_eq!(t.seed, Some(8));
    }

    #[test]
    fn several_models_are_an_ensemble() {
        let Task::Translate(t) = task("translate -m a -m b") else { panic!() };
        assert_eq!(t.models, [PathBuf::from("a"), "b".into()]);
    }
}
