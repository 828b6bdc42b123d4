//! `cargo xtask recipe NAME`: a model for a data set of the literature, from its files to a score beside the published one.
//!
//! Everything is written in `runs/recipes/NAME/`: the data as the config wants it, a copy of the config, the run; with
//! `--seeds N` the runs of N seeds, scored one by one and together as an ensemble.

mod table;
mod view;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::{binary, process, workspace};
use table::{RECIPES, Recipe};

/// Where the data sets lie unless `--data` says so, relative to the workspace root.
const DATA: &str = "../shared/data";

/// The most models that are trained for one ensemble.
const MAX_SEEDS: usize = 20;
const SEEDS: &str = "a number of models from 1 to 20";

/// `recipe [NAME [--data FOLDER] [--seeds N] [ARGS of train]]`
pub fn run(args: &[OsString]) -> Result<()> {
    let Some((name, rest)) = args.split_first() else {
        list();
        return Ok(());
    };
    let name = name.to_string_lossy();
    let Some(recipe) = RECIPES.iter().find(|recipe| recipe.name == name) else {
        let known = RECIPES.iter().map(|recipe| recipe.name).collect::<Vec<_>>().join(", ");
        return Err(Error::Unknown { what: "recipe", found: name.into(), known });
    };
    let root = workspace::root();
    let mut train_args = rest.to_vec();
    let sets =
        take(&mut train_args, "--data", "a folder of data sets")?.map_or(root.join(DATA), PathBuf::from);
    let seeds = match take(&mut train_args, "--seeds", SEEDS)? {
        None => 1,
        Some(value) => number_of_seeds(&value)?,
    };
    own(&train_args, "--run", "nothing: each model has its folder")?;
    if seeds > 1 {
        own(&train_args, "--seed", "nothing: with --seeds each model has its own")?;
    }
    let binary = binary::build()?;
    let folder = root.join("runs/recipes").join(recipe.name);
    prepare(recipe, &root, &sets, &folder)?;

    let seqweave = |args: &[&str]| {
        let mut command = Command::new(&binary);
        command.args(args).current_dir(&folder);
        command
    };
    eprintln!("{}: {}", recipe.name, recipe.task);
    let runs: Vec<String> = (1..=seeds).map(run_name).collect();
    for (run, seed) in runs.iter().zip(1..) {
        let mut train = seqweave(&["train", "-c", "config.toml", "--run", run]);
        if seed > 1 {
            train.args(["--seed", &seed.to_string()]);
        }
        process::run_loudly(train.args(&train_args))?;
        process::run_loudly(seqweave(&["evaluate", "-m", run]).args(recipe.score))?;
    }
    let models: Vec<&str> = runs.iter().flat_map(|run| ["-m", run.as_str()]).collect();
    if seeds > 1 {
        println!("ensemble of {seeds}");
        process::run_loudly(seqweave(&["evaluate"]).args(&models).args(recipe.score))?;
    }
    println!("published  {}", recipe.published);
    if !recipe.ask.is_empty() {
        let input: String = recipe.ask.iter().map(|line| format!("{line}\n")).collect();
        let outputs = process::filter(seqweave(&["translate"]).args(&models), &input)?;
        for (line, output) in recipe.ask.iter().zip(outputs.lines()) {
            println!("{line}\n  {output}");
        }
    }
    Ok(())
}

/// The option and its value, taken out of the arguments.
fn take(args: &mut Vec<OsString>, option: &'static str, expected: &'static str) -> Result<Option<OsString>> {
    match args.iter().position(|arg| arg == option) {
        None => Ok(None),
        Some(at) if at + 1 < args.len() => Ok(args.drain(at..at + 2).nth(1)),
        Some(_) => Err(Error::Option { option, expected, found: None }),
    }
}

/// Refuses an option of train that the recipe gives itself.
fn own(args: &[OsString], option: &'static str, expected: &'static str) -> Result<()> {
    let is_given = |arg: &OsString| {
        arg.to_str().is_some_and(|arg| {
            arg.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })
    };
    match args.iter().find(|arg| is_given(arg)) {
        Some(arg) => Err(Error::Option { option, expected, found: Some(arg.to_string_lossy().into_owned()) }),
        None => Ok(()),
    }
}

fn number_of_seeds(value: &OsStr) -> Result<usize> {
    let text = value.to_string_lossy();
    let wrong = || Error::Option { option: "--seeds", expected: SEEDS, found: Some(text.to_string()) };
    text.parse().ok().filter(|seeds| (1..=MAX_SEEDS).contains(seeds)).ok_or_else(wrong)
}

/// The first run has the plain name, and the seed of the config: more seeds can be asked for once it is there.
fn run_name(seed: usize) -> String {
    if seed == 1 { "run".to_string() } else { format!("run-{seed}") }
}

fn list() {
    println!("cargo xtask recipe NAME [--data FOLDER] [--seeds N] [ARGS of `seqweave train`]\n");
    for recipe in RECIPES {
        println!("  {:<16} {}", recipe.name, recipe.task);
    }
    println!(
        "\nData sets are looked for in {DATA} or in the folder after --data; see docs/guide/recipes.md."
    );
}

/// Writes data and config into the folder, where they are not there already: a run keeps what it began with.
fn prepare(recipe: &Recipe, root: &Path, sets: &Path, folder: &Path) -> Result<()> {
    let set = sets.join(recipe.source.folder);
    let data = folder.join("data");
    fs::create_dir_all(&data).map_err(Error::io("creating", &data))?;
    for &(from, to, view) in recipe.files {
        let (from, to) = (set.join(from), data.join(to));
        if to.is_file() {
            continue;
        }
        if !from.is_file() {
            let (path, origin) = (from, recipe.source.origin);
            return Err(Error::NoData { recipe: recipe.name, path, origin });
        }
        place(&to, &view.apply(&from)?)?;
    }
    let config = folder.join("config.toml");
    if !config.is_file() {
        let template = root.join("docs/configs").join(recipe.config);
        place(&config, &fs::read(&template).map_err(Error::io("reading", &template))?)?;
    }
    Ok(())
}

/// Writes a file beside, then renames it: an interrupted write leaves no half file for the next start to read.
fn place(path: &Path, contents: &[u8]) -> Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, contents).map_err(Error::io("writing", &partial))?;
    fs::rename(&partial, path).map_err(Error::io("writing", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_placed_once_and_what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (sets, folder) = (dir.path().join("sets"), dir.path().join("recipe"));
        let recipe = RECIPES.iter().find(|recipe| recipe.name == "inflection-deu").unwrap();
        let root = workspace::root();
        let error = prepare(recipe, &root, &sets, &folder).unwrap_err().to_string();
        assert!(error.contains("deu_train.tsv") && error.contains("sigmorphon/2023InflectionST"), "{error}");

        let set = sets.join(recipe.source.folder);
        fs::create_dir_all(&set).unwrap();
        for (from, _, _) in recipe.files {
            fs::write(set.join(from), "Haus\tN;PL\tHäuser\n").unwrap();
        }
        prepare(recipe, &root, &sets, &folder).unwrap();
        let read = || fs::read_to_string(folder.join("data/train.tsv")).unwrap();
        assert_eq!(read(), "H a u s <N> <PL>\tHäuser\n");
        assert!(folder.join("config.toml").is_file());

        fs::write(set.join(recipe.files[0].0), "other\n").unwrap();
        prepare(recipe, &root, &sets, &folder).unwrap();
        assert_eq!(read(), "H a u s <N> <PL>\tHäuser\n", "a run keeps what it began with");
    }

    #[test]
    fn options_of_the_recipe_are_taken_out_of_those_of_train() {
        let mut args: Vec<OsString> = ["--threads", "1", "--seeds", "3", "-q"].map(OsString::from).to_vec();
        assert_eq!(take(&mut args, "--seeds", SEEDS).unwrap(), Some("3".into()));
        assert_eq!(args, ["--threads", "1", "-q"]);
        assert_eq!(take(&mut args, "--seeds", SEEDS).unwrap(), None);
        args.push("--data".into());
        let error = take(&mut args, "--data", "a folder").unwrap_err().to_string();
        assert!(error.contains("--data") && error.contains("a folder"), "{error}");

        assert_eq!(number_of_seeds("3".as_ref()).unwrap(), 3);
        for wrong in ["0", "21", "many"] {
            let error = number_of_seeds(wrong.as_ref()).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(wrong), "{error}");
        }
        assert_eq!([run_name(1), run_name(2)], ["run", "run-2"]);

        let args = ["--seeds", "--run=other"].map(OsString::from);
        assert!(own(&args, "--seed", "").is_ok());
        assert!(own(&args, "--run", "").unwrap_err().to_string().contains("--run=other"));
    }

    #[test]
    fn an_unknown_recipe_lists_the_known_ones() {
        let error = run(&["g2p".into()]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("g2p-cmudict"), "{error}");
    }
}
