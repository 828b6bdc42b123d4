//! `cargo xtask recipe NAME`: a model for a data set of the literature, from its files to a score beside the published one.
//!
//! Everything is written in `runs/recipes/NAME/`: the data as the config wants it, a copy of the config, the run.

mod table;
mod view;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::{binary, process, workspace};
use table::{RECIPES, Recipe};

/// Where the data sets lie unless `--data` says so, relative to the workspace root.
const DATA: &str = "../shared/data";

/// `recipe [NAME [--data FOLDER] [ARGS of train]]`
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
    let sets = match train_args.iter().position(|arg| arg == "--data") {
        None => root.join(DATA),
        Some(at) if at + 1 < train_args.len() => {
            let folder = train_args.drain(at..at + 2).nth(1).unwrap_or_default();
            PathBuf::from(folder)
        }
        Some(_) => {
            return Err(Error::Option { option: "--data", expected: "a folder of data sets", found: None });
        }
    };
    let binary = binary::build()?;
    let folder = root.join("runs/recipes").join(recipe.name);
    prepare(recipe, &root, &sets, &folder)?;

    let seqweave = |args: &[&str]| {
        let mut command = Command::new(&binary);
        command.args(args).current_dir(&folder);
        command
    };
    eprintln!("{}: {}", recipe.name, recipe.task);
    process::run_loudly(seqweave(&["train", "-c", "config.toml", "--run", "run"]).args(train_args))?;
    process::run_loudly(seqweave(&["evaluate", "-m", "run"]).args(recipe.score))?;
    println!("published  {}", recipe.published);
    if !recipe.ask.is_empty() {
        let input: String = recipe.ask.iter().map(|line| format!("{line}\n")).collect();
        let outputs = process::filter(&mut seqweave(&["translate", "-m", "run"]), &input)?;
        for (line, output) in recipe.ask.iter().zip(outputs.lines()) {
            println!("{line}\n  {output}");
        }
    }
    Ok(())
}

fn list() {
    println!("cargo xtask recipe NAME [--data FOLDER] [ARGS of `seqweave train`]\n");
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
    fn an_unknown_recipe_lists_the_known_ones() {
        let error = run(&["g2p".into()]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("g2p-cmudict"), "{error}");
    }
}
