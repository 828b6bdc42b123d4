//! `init`: a folder in which the next command works.

mod own;

use std::fs;
use std::io;
use std::path::Path;

use crate::exit::{Exit, Failure, Outcome};
use crate::resolve::{Contents, Init};
use crate::ui::Ui;

/// The configuration of the toy.
const TOY_REVERSE: &str = include_str!("init/toy-reverse.toml");

/// Lines of the training, validation and test files.
const TOY_LINES: [(&str, usize); 3] = [("train", 10_000), ("dev", 500), ("test", 500)];

/// Makes the folder.
///
/// # Errors
/// When the folder has something in it or cannot be written, or the user's data cannot be read.
pub fn run(ui: &Ui, job: &Init) -> Outcome {
    let dir = job.dir.as_path();
    let refuse = |e: io::Error| Failure::refused(Exit::Failed, "make the folder", dir, &e);
    let is_taken = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        // Either the path itself is a file, or a part of it, and then nothing is there.
        Err(e) if e.kind() == io::ErrorKind::NotADirectory && dir.exists() => true,
        Err(e) => return Err(refuse(e)),
    };
    if is_taken {
        return Err(Failure::usage("this is there already and not empty")
            .at(dir.display())
            .help("name a new one; init never overwrites"));
    }
    let made = match &job.contents {
        Contents::ToyReverse { seed } => toy(*seed, dir).map_err(refuse)?,
        Contents::Own { pairs } => {
            // The pairs are read first: a mistake in their names makes no folder.
            let own::Own { config, pairs } = own::own(&job.name, pairs)?;
            fs::create_dir_all(dir).map_err(refuse)?;
            fs::write(dir.join("config.toml"), config).map_err(refuse)?;
            let made = "config.toml, which says why it is as it is";
            match pairs {
                None => made.to_owned(),
                Some(text) => {
                    fs::write(dir.join(own::PAIRS), text).map_err(refuse)?;
                    format!("{made}, and {} with the tags as the second column", own::PAIRS)
                }
            }
        }
    };
    ui.note(format!("created {}: {made}", dir.display()));
    let config = dir.join("config.toml");
    let config = config.display().to_string();
    let quote = if config.contains(char::is_whitespace) { "'" } else { "" };
    ui.note(format!("next: seqweave train -c {quote}{config}{quote}"));
    Ok(Exit::Good)
}

/// Writes the toy and says what it is.
fn toy(seed: u64, dir: &Path) -> io::Result<String> {
    fs::create_dir_all(dir.join("data"))?;
    fs::write(dir.join("config.toml"), TOY_REVERSE)?;
    let mut random = SplitMix64(seed);
    for (name, lines) in TOY_LINES {
        let text: String = (0..lines).map(|_| toy_pair(&mut random)).collect();
        fs::write(dir.join("data").join(format!("{name}.tsv")), text)?;
    }
    let counts = TOY_LINES.map(|(_, lines)| lines.to_string()).join("/");
    Ok(format!("config.toml, data/{{train,dev,test}}.tsv ({counts} lines)"))
}

/// A line: three to ten of twelve letters, a tab, the same letters in reverse order.
fn toy_pair(random: &mut SplitMix64) -> String {
    let length = 3 + random.below(8);
    let letters: Vec<String> =
        (0..length).map(|_| char::from(b'a' + random.below(12) as u8).to_string()).collect();
    let reversed: Vec<&str> = letters.iter().rev().map(String::as_str).collect();
    format!("{}\t{}\n", letters.join(" "), reversed.join(" "))
}

/// The generator of Steele, Lea and Flood (2014), small enough to make the same toy everywhere and always.
struct SplitMix64(u64);

impl SplitMix64 {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The bound is tiny, so the bias of a remainder is far below what 10,000 lines could show.
        (z ^ (z >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use seqweave_data::{SourceSpec, load};
    use seqweave_train::config::Config;

    fn quiet() -> Ui {
        Ui::new(&crate::args::Args::try_parse_from(["seqweave", "-q", "info", "--system"]).unwrap().global)
    }

    fn init(dir: &Path) -> Init {
        Init { dir: dir.into(), name: "toy".to_owned(), contents: Contents::ToyReverse { seed: 1 } }
    }

    #[test]
    fn the_configuration_is_good_and_says_nothing_in_vain() {
        let loaded = Config::from_toml("toy-reverse.toml", TOY_REVERSE, Path::new("")).unwrap();
        assert_eq!(loaded.unused, []);
        assert_eq!(loaded.value.name, "toy-reverse");
    }

    #[test]
    fn the_folder_holds_what_the_configuration_names() {
        let dir = tempfile::tempdir().unwrap();
        let demo = dir.path().join("demo");
        run(&quiet(), &init(&demo)).unwrap();
        for (name, lines) in TOY_LINES {
            let path = demo.join("data").join(format!("{name}.tsv"));
            assert!(
                TOY_REVERSE.contains(&format!("\"data/{name}.tsv\"")),
                "{name} is not in the configuration"
            );
            let pairs = load(&SourceSpec::Tsv { path }).unwrap();
            assert_eq!(pairs.len(), lines);
            for pair in &pairs[..20] {
                let reversed: Vec<&str> = pair.src.split(' ').rev().collect();
                assert_eq!(pair.tgt, reversed.join(" "));
            }
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mine.txt"), "x").unwrap();
        for place in [dir.path().to_path_buf(), dir.path().join("mine.txt")] {
            let failure = run(&quiet(), &init(&place)).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_seed_decides_the_data() {
        let line = |seed| toy_pair(&mut SplitMix64(seed));
        assert_eq!(line(1), line(1));
        assert_ne!(line(1), line(2));
    }
}
