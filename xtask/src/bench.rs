//! `bench`: ours and every peer in turn, on the same work, as ratios.
//!
//! Machines drift, so a round runs ours and then each peer, and a ratio is taken within a round; the median over rounds is
//! printed. `ops` instead times single operations beside the machine's ceilings. A peer is any command that takes the options of `seqweave bench` and prints one JSON line with
//! `tokens_per_s`: `--peer 'NAME=COMMAND'`, as often as wanted. The PyTorch program of the peers' folder is found by itself.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::{binary, process, tools, workspace};

/// Where peers lie unless `--peers` says otherwise; not part of the repository.
const PEERS: &str = "../shared/peers";
const PYTORCH: &str = "pytorch/seq2seq_bench.py";
/// A piece of work: size, mode, and sentences a batch where it is not the size's own.
type Work<'a> = (&'a str, &'a str, Option<usize>);

/// What is run unless options say otherwise.
const WORK: [Work<'_>; 7] = [
    ("small", "train", None),
    ("medium", "train", None),
    ("small", "greedy", Some(1)),
    ("small", "greedy", Some(32)),
    ("small", "beam", Some(1)),
    ("small", "beam", Some(32)),
    ("medium", "greedy", Some(32)),
];

/// `bench ops [PRECISION]`, `bench gpu`, or `bench [--config SIZE] [--mode MODE] [--batch B] [--rounds N] [--seconds S] [--threads N] [--peers DIR]
/// [--python PATH] [--peer NAME=COMMAND]… [--no-input-feed] [--dtype f32|bf16]`
pub fn run(args: &[OsString]) -> Result<()> {
    if let Some((gpu, rest)) = args.split_first()
        && gpu == "gpu"
    {
        return crate::kernels::pack::bench(rest);
    }
    if let Some((ops, rest)) = args.split_first()
        && ops == "ops"
    {
        let mut cargo = process::cargo();
        cargo.args([
            "run",
            "--release",
            "--quiet",
            "--package",
            "seqweave-tensor",
            "--example",
            "op_ceilings",
            "--",
        ]);
        return process::run(cargo.args(rest));
    }
    let options = Options::parse(args)?;
    let ours = binary::build()?;
    let peers = options.peers();
    if peers.is_empty() {
        println!(
            "no peer found: ours alone; `--python PATH` of a Python with torch, or `--peer NAME=COMMAND`, adds one"
        );
    }
    let folder = workspace::target_dir()?.join("bench");
    fs::create_dir_all(&folder).map_err(Error::io("creating", &folder))?;
    let path = folder.join("bench.jsonl");
    let mut lines = File::create(&path).map_err(Error::io("creating", &path))?;

    println!(
        "{:<24} {:<10} {:>9} {:>9} {:>7} {:>6} {:>8}",
        "work", "who", "median", "best", "ours/it", "% max", "MiB"
    );
    for (size, mode, batch) in options.work() {
        let mut flags = vec![
            "--config",
            size,
            "--mode",
            mode,
            "--threads",
            &options.threads,
            "--seconds",
            &options.seconds,
        ]
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
        if let Some(batch) = batch {
            flags.extend(["--batch".into(), batch.to_string()]);
        }
        flags.extend(["--dtype".into(), options.dtype.clone()]);
        if options.no_input_feed {
            flags.push("--no-input-feed".into());
        }
        let mut rounds: Vec<Vec<Option<Value>>> = Vec::new();
        for _ in 0..options.rounds {
            let mut round = vec![Some(measure(Command::new(&ours).arg("bench").arg("--json").args(&flags))?)];
            for peer in &peers {
                // A peer that cannot do this work leaves a gap in the table, says why, and stops nothing.
                let measured = measure(Command::new(&peer.program).args(&peer.args).args(&flags));
                round.push(measured.inspect_err(|error| eprintln!("{}: {error}", peer.name)).ok());
            }
            for value in round.iter().flatten() {
                writeln!(lines, "{value}").map_err(Error::io("writing", &path))?;
            }
            rounds.push(round);
        }
        let work = batch.map_or(format!("{size} {mode}"), |batch| format!("{size} {mode} {batch}"));
        let names = std::iter::once("seqweave").chain(peers.iter().map(|peer| &*peer.name));
        for (column, name) in names.enumerate() {
            println!("{}", line(&work, name, &rounds, column));
        }
    }
    println!("\n{}", path.display());
    Ok(())
}

/// One line of the table: medians over the rounds of participant `column`.
fn line(work: &str, name: &str, rounds: &[Vec<Option<Value>>], column: usize) -> String {
    let all =
        |key: &str| -> Vec<f64> { rounds.iter().filter_map(|r| r[column].as_ref()?[key].as_f64()).collect() };
    let number = |x: Option<f64>, digits: usize| x.map_or("-".to_owned(), |x| format!("{x:.digits$}"));
    let ratios = rounds.iter().filter_map(|r| {
        let tokens = |column: usize| r[column].as_ref()?["tokens_per_s"].as_f64();
        Some(tokens(0)? / tokens(column)?)
    });
    format!(
        "{work:<24} {name:<10} {:>9} {:>9} {:>7} {:>6} {:>8}",
        number(median(all("tokens_per_s")), 0),
        number(all("best_tokens_per_s").into_iter().reduce(f64::max), 0),
        number(median(ratios.collect()), 2),
        number(median(all("percent_of_ceiling")), 0),
        number(median(all("peak_rss_mb")), 0),
    )
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Runs a program that prints one JSON line.
fn measure(command: &mut Command) -> Result<Value> {
    let shown = process::show(command);
    let text = process::output(command)?;
    let line = text.lines().rev().find(|line| line.starts_with('{')).unwrap_or_default();
    serde_json::from_str(line).map_err(|error| Error::Output {
        program: "a benchmark",
        expected: "one JSON line",
        found: format!("{error} from `{shown}`"),
    })
}

/// A program to race.
struct Peer {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
}

struct Options {
    size: Option<String>,
    mode: Option<String>,
    batch: Option<usize>,
    rounds: usize,
    seconds: String,
    threads: String,
    folder: PathBuf,
    python: Option<PathBuf>,
    named: Vec<(String, String)>,
    no_input_feed: bool,
    dtype: String,
}

impl Options {
    fn parse(args: &[OsString]) -> Result<Options> {
        let mut options = Options {
            size: None,
            mode: None,
            batch: None,
            rounds: 3,
            seconds: "5".into(),
            threads: "2".into(),
            folder: workspace::root().join(PEERS),
            python: None,
            named: Vec::new(),
            no_input_feed: false,
            dtype: "f32".into(),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = |option, expected| {
                let value = args.next().map(|value| value.to_string_lossy().into_owned());
                value.ok_or(Error::Option { option, expected, found: None })
            };
            match &*arg.to_string_lossy() {
                "--config" => options.size = Some(value("--config", "small, medium or large")?),
                "--mode" => options.mode = Some(value("--mode", "train, greedy or beam")?),
                "--batch" => {
                    options.batch = Some(whole("--batch", value("--batch", "a whole number from 1")?)?)
                }
                "--rounds" => {
                    options.rounds = whole("--rounds", value("--rounds", "a whole number from 1")?)?
                }
                "--seconds" => options.seconds = value("--seconds", "a number of seconds")?,
                "--threads" => options.threads = value("--threads", "a whole number from 1")?,
                "--peers" => options.folder = value("--peers", "a folder")?.into(),
                "--python" => options.python = Some(value("--python", "a path")?.into()),
                "--dtype" => options.dtype = value("--dtype", "f32, f32-fast or bf16")?,
                "--no-input-feed" => options.no_input_feed = true,
                "--peer" => {
                    let expected = "NAME=COMMAND";
                    let text = value("--peer", expected)?;
                    let wrong = Error::Option { option: "--peer", expected, found: Some(text.clone()) };
                    let (name, command) = text.split_once('=').ok_or(wrong)?;
                    options.named.push((name.into(), command.into()));
                }
                _ => {
                    let known = "ops, --config, --mode, --batch, --rounds, --seconds, --threads, --peers, --python, --peer, \
                                 --dtype, --no-input-feed";
                    return Err(tools::unknown(arg, known));
                }
            }
        }
        Ok(options)
    }

    /// The standard work, or the one piece that was asked for.
    fn work(&self) -> Vec<Work<'_>> {
        if self.size.is_none() && self.mode.is_none() && self.batch.is_none() {
            return WORK.to_vec();
        }
        let (size, mode) = (self.size.as_deref(), self.mode.as_deref());
        vec![(size.unwrap_or("small"), mode.unwrap_or("train"), self.batch)]
    }

    /// PyTorch where it can be found, then the peers that were named.
    fn peers(&self) -> Vec<Peer> {
        let script = self.folder.join(PYTORCH);
        let python = self.python.clone().unwrap_or_else(|| tools::python(&workspace::root()));
        let mut peers = Vec::new();
        if script.is_file() && has_torch(&python) {
            peers.push(Peer { name: "pytorch".into(), program: python, args: vec![script.into()] });
        }
        for (name, command) in &self.named {
            let mut words = command.split_whitespace().map(OsString::from);
            if let Some(program) = words.next() {
                peers.push(Peer { name: name.clone(), program: program.into(), args: words.collect() });
            }
        }
        peers
    }
}

fn whole(option: &'static str, text: String) -> Result<usize> {
    let expected = "a whole number from 1";
    text.parse().ok().filter(|&n| n > 0).ok_or(Error::Option { option, expected, found: Some(text) })
}

fn has_torch(python: &Path) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", "import torch"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options> {
        Options::parse(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn one_option_picks_one_piece_of_work() {
        assert_eq!(parse(&[]).unwrap().work().len(), WORK.len());
        assert_eq!(parse(&["--mode", "beam", "--batch", "4"]).unwrap().work(), [("small", "beam", Some(4))]);
        let named = parse(&["--peers", "nowhere", "--peer", "other=prog --flag"]).unwrap().peers();
        assert_eq!((&*named[0].name, named[0].args.len()), ("other", 1));
        for wrong in [&["--rounds", "0"][..], &["--rounds"], &["--peer", "x"], &["--sides"]] {
            assert_eq!(parse(wrong).err().map(|error| error.exit_code()), Some(2), "{wrong:?}");
        }
    }

    #[test]
    fn a_ratio_is_taken_within_a_round_and_gaps_are_left_out() {
        let value =
            |tokens: f64| Some(serde_json::json!({ "tokens_per_s": tokens, "best_tokens_per_s": tokens }));
        let rounds = [vec![value(10.0), value(5.0)], vec![value(30.0), None], vec![value(8.0), value(2.0)]];
        let peer = line("w", "peer", &rounds, 1);
        assert!(peer.contains(" 4.00 "), "{peer}");
        assert!(line("w", "ours", &rounds, 0).contains(" 1.00 "));
    }
}
