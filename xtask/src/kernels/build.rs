//! `kernels build` and `kernels check`: from sources to the files that are committed.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde_json::{Value, json};

use super::limits::Limits;
use super::nvrtc::{self, Job};
use super::sources::{self, Sources};
use super::usage::{self, Usage};
use super::{Outcome, generate, table};
use crate::error::{Error, Result};
use crate::{process, workspace};

/// The folders of generated files.
const ENTRIES: &str = "kernels/src/entries";
const LAUNCHERS: &str = "crates/seqweave-tensor/src/cuda/launchers";

/// A file that the sources determine.
struct Output {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// Compiles everything and writes what is committed; fails, after writing, if a limit is passed.
pub fn build() -> Result<()> {
    let sources = Sources::read()?;
    let library = nvrtc::find()?.map_err(|reason| Error::NoTool { what: "NVRTC", reason })?;
    let compiled = compile(&sources, &library)?;
    let mut outputs = compiled.images;
    outputs.push(manifest_file(&compiled.manifest));
    outputs.extend(texts(&sources, &compiled.manifest)?);
    let mut written = 0;
    for Output { path, bytes } in &outputs {
        if !same(path, bytes) {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(Error::io("creating", folder))?;
            }
            std::fs::write(path, bytes).map_err(Error::io("writing", path))?;
            println!("wrote {}", shown(path));
            written += 1;
        }
    }
    for path in strangers(&outputs)? {
        std::fs::remove_file(&path).map_err(Error::io("removing", &path))?;
        println!("removed {}", shown(&path));
    }
    println!("kernels build: {} files, {written} written", outputs.len());
    told(&over_limit(&sources, &compiled.manifest)?)
}

/// Whether what is committed is what the sources give. Without the compiler, all is checked that needs none.
pub fn check() -> Result<Outcome> {
    let sources = Sources::read()?;
    let committed = read_manifest()?;
    let mut findings = stale(&sources, &committed);
    let texts = texts(&sources, &committed)?;
    for Output { path, bytes } in &texts {
        if !same(path, bytes) {
            findings.push(format!("{} is not what the sources give", shown(path)));
        }
    }
    findings.extend(over_limit(&sources, &committed)?);
    let library = match nvrtc::find()? {
        Ok(library) => library,
        Err(reason) => {
            told(&findings)?;
            println!(
                "kernels check: skipped the compilation: {reason}; hashes, generated files and limits are right"
            );
            return Ok(Outcome::Skipped);
        }
    };
    let compiled = compile(&sources, &library)?;
    let images = compiled.images.len();
    let mut outputs: Vec<Output> =
        compiled.images.into_iter().chain([manifest_file(&compiled.manifest)]).collect();
    for Output { path, bytes } in &outputs {
        if !same(path, bytes) {
            findings.push(format!("{} differs from what the sources compile to", shown(path)));
        }
    }
    outputs.extend(texts);
    findings.extend(strangers(&outputs)?.iter().map(|path| format!("{} belongs to no source", shown(path))));
    told(&findings)?;
    let kernels: usize = sources.families.iter().map(|family| family.kernels.len()).sum();
    println!("kernels check: {kernels} kernels, {images} images as committed, no spills, within the limits");
    Ok(Outcome::Passed)
}

/// Prints the findings; an error if there are any.
fn told(findings: &[String]) -> Result<()> {
    findings.iter().for_each(|finding| println!("{finding}"));
    if findings.is_empty() {
        return Ok(());
    }
    println!("help: `cargo xtask kernels build`, then look at the difference");
    Err(Error::Findings { check: "kernels", count: findings.len() })
}

struct Compiled {
    images: Vec<Output>,
    manifest: Value,
}

fn compile(sources: &Sources, library: &Path) -> Result<Compiled> {
    let scratch = workspace::target_dir()?.join("kernels").join(format!("images-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).map_err(Error::io("creating", &scratch))?;
    let mut jobs = Vec::new();
    let mut places = Vec::new();
    for (i, family) in sources.families.iter().enumerate() {
        for &target in family.targets {
            jobs.push(Job {
                name: format!("{}.cu", family.name),
                text: sources.texts[i].clone(),
                target,
                output: scratch.join(format!("{}.{target}", family.name)),
            });
            places.push((i, target));
        }
    }
    let logs = nvrtc::compile(library, &[("prelude.cuh", sources.prelude.clone())], &jobs)?;

    let mut images = Vec::new();
    let mut families = serde_json::Map::new();
    for ((job, log), (i, target)) in jobs.iter().zip(&logs).zip(places) {
        let family = &sources.families[i];
        let bytes = std::fs::read(&job.output).map_err(Error::io("reading", &job.output))?;
        let path = sources::folder().join("images").join(target).join(format!("{}.z", family.name));
        images.push(Output { path, bytes: pack(&bytes) });
        let entry = families
            .entry(family.name.clone())
            .or_insert_with(|| json!({"source": sources.hash(i), "kernels": {}}));
        let found = usage::parse(log);
        for kernel in family.kernels.iter().filter(|_| target.starts_with("sm_")) {
            let usage = found.get(&kernel.name).ok_or_else(|| Error::Output {
                program: "NVRTC",
                expected: "the registers of every kernel",
                found: format!("none of `{}` for {target}", kernel.name),
            })?;
            entry["kernels"][&kernel.name][target] = usage.to_json();
        }
    }
    let _ = std::fs::remove_dir_all(&scratch);
    let manifest = json!({
        "compiler": format!("NVRTC {}", nvrtc::VERSION),
        "options": nvrtc::OPTIONS,
        "families": families,
    });
    Ok(Compiled { images, manifest })
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn unpack(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    DeflateDecoder::new(bytes).read_to_end(&mut unpacked).ok()?;
    Some(unpacked)
}

/// Whether a file holds these bytes; images are compared unpacked, as another version of the packer may pack otherwise.
fn same(path: &Path, bytes: &[u8]) -> bool {
    let Ok(found) = std::fs::read(path) else { return false };
    if path.extension().is_some_and(|extension| extension == "z") {
        return matches!((unpack(&found), unpack(bytes)), (Some(a), Some(b)) if a == b);
    }
    found == bytes
}

fn manifest_path() -> PathBuf {
    sources::folder().join("images/manifest.json")
}

fn manifest_file(manifest: &Value) -> Output {
    Output { path: manifest_path(), bytes: format!("{manifest:#}\n").into_bytes() }
}

/// The committed manifest.
pub fn read_manifest() -> Result<Value> {
    let path = manifest_path();
    let text = std::fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
    serde_json::from_str(&text).map_err(|error| Error::Content { path, expected: format!("JSON: {error}") })
}

/// Families whose sources are not those of the committed images.
fn stale(sources: &Sources, manifest: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    for (i, family) in sources.families.iter().enumerate() {
        if manifest["families"][&family.name]["source"] != sources.hash(i).as_str() {
            findings.push(format!(
                "kernels/cu/{}.cu or prelude.cuh changed since the images were built",
                family.name
            ));
        }
    }
    findings
}

/// What the kernels need for every cubin, as the manifest has it: (kernel, target, usage).
fn usages<'a>(sources: &'a Sources, manifest: &'a Value) -> impl Iterator<Item = (&'a str, &'a str, Usage)> {
    sources.families.iter().flat_map(move |family| {
        family.kernels.iter().flat_map(move |kernel| {
            let needs = &manifest["families"][&family.name]["kernels"][&kernel.name];
            let targets = needs.as_object().into_iter().flatten();
            targets.map(move |(target, usage)| (&*kernel.name, &**target, Usage::from_json(usage)))
        })
    })
}

/// Passed limits, and limits of kernels that do not exist.
fn over_limit(sources: &Sources, manifest: &Value) -> Result<Vec<String>> {
    let limits = Limits::read(&sources::folder().join("limits.toml"))?;
    let mut findings = Vec::new();
    for (kernel, target, usage) in usages(sources, manifest) {
        findings.extend(limits.broken(kernel, target, &usage));
    }
    let known: Vec<&str> =
        sources.families.iter().flat_map(|family| &family.kernels).map(|kernel| &*kernel.name).collect();
    for name in limits.names().filter(|name| !known.contains(name)) {
        findings.push(format!("kernels/limits.toml has a limit of `{name}`, which is no kernel"));
    }
    Ok(findings)
}

/// The generated texts: entries, launchers, and the guide with its table.
fn texts(sources: &Sources, manifest: &Value) -> Result<Vec<Output>> {
    let root = workspace::root();
    let rust = |(folder, (name, text)): (&str, generate::File)| -> Result<Output> {
        let mut rustfmt = Command::new("rustfmt");
        rustfmt.args(["--edition", "2024", "--config-path"]).arg(root.join("rustfmt.toml"));
        let path = root.join(folder).join(name);
        Ok(Output { path, bytes: process::filter(&mut rustfmt, &text)?.into_bytes() })
    };
    let guide = root.join("docs/guide/kernels.md");
    let text = std::fs::read_to_string(&guide).map_err(Error::io("reading", &guide))?;
    let text = table::replace(&text, &table::table(sources, manifest))
        .ok_or_else(|| Error::Content { path: guide.clone(), expected: table::MARKERS.join(" and ") })?;
    let entries = generate::entries(&sources.families, manifest).into_iter().map(|file| (ENTRIES, file));
    let launchers = generate::launchers(&sources.families).into_iter().map(|file| (LAUNCHERS, file));
    let mut outputs = entries.chain(launchers).map(rust).collect::<Result<Vec<_>>>()?;
    outputs.push(Output { path: guide, bytes: text.into_bytes() });
    Ok(outputs)
}

/// Images and generated files that no source makes.
fn strangers(outputs: &[Output]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let root = workspace::root();
    let mut folders = vec![sources::folder().join("images"), root.join(ENTRIES), root.join(LAUNCHERS)];
    while let Some(folder) = folders.pop() {
        if !folder.exists() {
            continue;
        }
        for file in std::fs::read_dir(&folder).map_err(Error::io("reading", &folder))? {
            let path = file.map_err(Error::io("reading", &folder))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if outputs.iter().all(|output| output.path != path) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A path from the root.
fn shown(path: &Path) -> String {
    path.strip_prefix(workspace::root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_survive_packing() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|i| (i / 7) as u8).collect();
        assert_eq!(unpack(&pack(&bytes)), Some(bytes));
        assert_eq!(unpack(b"\xff\xff"), None);
    }

    #[test]
    fn a_changed_byte_shows() {
        let folder = std::env::temp_dir().join(format!("seqweave-xtask-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.z");
        std::fs::write(&path, pack(b"one image")).unwrap();
        assert!(same(&path, &pack(b"one image")));
        assert!(!same(&path, &pack(b"one imagf")));
        assert!(!same(&folder.join("b.z"), &pack(b"one image")));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
