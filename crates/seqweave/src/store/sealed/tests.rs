//! Tests of sealed folders: round trips, every flip and cut, every crash, every fault.

use std::collections::BTreeSet;
use std::fs;

use super::*;
use crate::store::testing::{Fault, Mutant, SimDisk};
use crate::store::{Disk, MANIFEST_NAME};

type Files<'a> = &'a [(&'a str, &'a [u8])];

const OLD_FILES: Files<'static> = &[("config.json", b"{\"hidden\":1}"), ("state.bin", b"old state")];
const NEW_FILES: Files<'static> = &[("config.json", b"{\"hidden\":2}"), ("state.bin", b"new state, longer")];

fn holds(folder: &Result<SealedFolder>, files: Files<'_>) -> bool {
    match folder {
        Ok(folder) => {
            folder.names().eq(files.iter().map(|(name, _)| *name))
                && files.iter().all(|(name, bytes)| folder.file(name).unwrap() == *bytes)
        }
        Err(_) => false,
    }
}

fn run_path(name: &str) -> PathBuf {
    Path::new("/run").join(name)
}

fn sim_with_old() -> SimDisk {
    let sim = SimDisk::new();
    sim.create_dir(Path::new("/run")).unwrap();
    write_folder(&sim, &run_path("old"), OLD_FILES).unwrap();
    sim.settle();
    sim
}

#[test]
fn a_folder_comes_back_and_unlisted_files_are_ignored() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("model");
    write_folder(&Disk, &dir, OLD_FILES).unwrap();
    fs::write(dir.join("notes.txt"), "mine").unwrap();
    assert!(holds(&read_folder(&Disk, &dir), OLD_FILES));
    assert_eq!(verify_folder(&Disk, &dir).unwrap().files.len(), 2);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "nothing is left beside the folder");

    let mut sealed = read_folder(&Disk, &dir).unwrap();
    assert_eq!(sealed.take("state.bin").unwrap(), b"old state");
    let message = sealed.file("weights").unwrap_err().to_string();
    assert!(message.contains("does not contain \"weights\"; it contains config.json\nhelp: "), "{message}");
}

#[test]
fn an_existing_folder_is_not_replaced_unless_asked() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("model");
    write_folder(&Disk, &dir, OLD_FILES).unwrap();
    assert!(matches!(write_folder(&Disk, &dir, NEW_FILES), Err(Error::Exists { .. })));
    assert!(holds(&read_folder(&Disk, &dir), OLD_FILES));
    replace_folder(&Disk, &dir, NEW_FILES).unwrap();
    assert!(holds(&read_folder(&Disk, &dir), NEW_FILES));
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "nothing is left beside the folder");
}

#[test]
fn each_kind_of_damage_has_its_error() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("model");
    let state = dir.join("state.bin");
    let fresh = || {
        let _ = fs::remove_dir_all(&dir);
        write_folder(&Disk, &dir, OLD_FILES).unwrap();
    };
    let read = || read_folder(&Disk, &dir).unwrap_err();

    assert!(matches!(read(), Error::NoFolder { .. }));
    fs::create_dir(&dir).unwrap();
    assert!(matches!(read(), Error::NoManifest { .. }));
    fresh();
    fs::write(&state, "old stat").unwrap();
    assert!(matches!(read(), Error::Size { expected: 9, found: 8, .. }), "{}", read());
    fs::write(&state, "old_state").unwrap();
    let message = read().to_string();
    assert!(
        message.contains("state.bin is damaged: BLAKE3 is ") && message.contains("its manifest says"),
        "{message}"
    );
    fs::remove_file(&state).unwrap();
    assert!(matches!(read(), Error::MissingFile { .. }));
    fs::create_dir(&state).unwrap();
    assert!(matches!(read(), Error::WrongKind { found: "a folder", .. }), "{}", read());
    fresh();
    fs::write(dir.join(MANIFEST_NAME), vec![b'a'; MAX_MANIFEST_BYTES as usize + 1]).unwrap();
    assert!(matches!(read(), Error::Manifest { problem: ManifestProblem::TooLong { .. }, .. }), "{}", read());
    assert!(matches!(read_folder(&Disk, &state).unwrap_err(), Error::WrongKind { expected: "a folder", .. }));
}

#[cfg(unix)]
#[test]
fn links_and_sockets_in_place_of_a_file_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("model");
    write_folder(&Disk, &dir, OLD_FILES).unwrap();
    let state = dir.join("state.bin");
    let elsewhere = parent.path().join("elsewhere");
    fs::rename(&state, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &state).unwrap();
    let error = read_folder(&Disk, &dir).unwrap_err();
    assert!(matches!(error, Error::WrongKind { found: "a symbolic link", .. }), "{error}");
    fs::remove_file(&state).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&state).unwrap();
    let error = read_folder(&Disk, &dir).unwrap_err();
    assert!(matches!(error, Error::WrongKind { found: "a device, pipe or socket", .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn a_read_only_parent_is_an_error_that_names_it() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let result = write_folder(&Disk, &parent.path().join("model"), OLD_FILES);
    let is_root = fs::write(parent.path().join("probe"), "").is_ok();
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // A superuser may write anywhere; then there is no such error to see.
    if !is_root {
        let message = result.unwrap_err().to_string();
        assert!(message.contains("cannot create the folder") && message.contains("model"), "{message}");
    }
}

#[test]
fn every_bit_flip_truncation_and_extension_is_refused() {
    let sim = sim_with_old();
    let dir = run_path("old");
    let (mut flips, mut cuts, mut accepted) = (0, 0, Vec::new());
    for name in [MANIFEST_NAME, "config.json", "state.bin"] {
        let path = dir.join(name);
        let good = sim.read(&path).unwrap();
        let mut try_bytes = |bytes: &[u8], what: String| {
            sim.overwrite(&path, bytes);
            if read_folder(&sim, &dir).is_ok() {
                accepted.push(format!("{name}: {what}"));
            }
        };
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            try_bytes(&bytes, format!("bit {bit} flipped"));
            flips += 1;
        }
        for len in 0..good.len() {
            try_bytes(&good[..len], format!("cut to {len} bytes"));
            cuts += 1;
        }
        for byte in 0..=255 {
            try_bytes(&[&good[..], &[byte]].concat(), format!("byte {byte} appended"));
            cuts += 1;
        }
        sim.overwrite(&path, &good);
    }
    assert!(holds(&read_folder(&sim, &dir), OLD_FILES), "the undamaged folder must load");
    assert!(flips > 2000, "only {flips} flips were tried");
    assert!(
        accepted.is_empty(),
        "{} of {flips} flips and {cuts} cuts accepted: {accepted:?}",
        accepted.len()
    );
    println!("sealed folder: 0 of {flips} bit flips and {cuts} truncations and extensions accepted");
}

/// Tries every crash state of writing `new` beside `old`; returns how many states there were and which were bad.
fn crash_while_writing(mutant: Option<Mutant>) -> (usize, Vec<String>) {
    let sim = sim_with_old();
    sim.limit_writes(100);
    if let Some(mutant) = mutant {
        sim.plant(mutant);
    }
    write_folder(&sim, &run_path("new"), NEW_FILES).unwrap();
    let mut bad = Vec::new();
    let mut seen = BTreeSet::new();
    let states = sim.each_crash_state(|crashed, complete| {
        if !seen.insert((crashed.tree(), complete)) {
            return;
        }
        if !holds(&read_folder(crashed, &run_path("old")), OLD_FILES) {
            bad.push("the old folder is gone".to_string());
        }
        match read_folder(crashed, &run_path("new")) {
            Err(Error::NoFolder { .. }) if !complete => {}
            read if holds(&read, NEW_FILES) => {}
            Ok(_) => bad.push("wrong contents were accepted".into()),
            Err(error) => bad.push(format!("complete: {complete}; {error}")),
        }
        clean_temporaries(crashed, Path::new("/run")).unwrap();
        let left = crashed.list(Path::new("/run")).unwrap();
        if left.iter().any(|name| name != "old" && name != "new") {
            bad.push(format!("left over: {left:?}"));
        }
    });
    println!("write_folder, {mutant:?}: {states} crash states, {} different, {} bad", seen.len(), bad.len());
    (states, bad)
}

#[test]
fn after_any_crash_the_old_folder_loads_and_the_new_one_is_complete_or_absent() {
    let (states, bad) = crash_while_writing(None);
    assert!(states > 1000, "only {states} states were tried");
    assert!(bad.is_empty(), "{} of {states} states are bad: {bad:?}", bad.len());
}

#[test]
fn the_crash_test_notices_missing_syncs() {
    for mutant in [Mutant::NoFileSync, Mutant::NoDirSync] {
        let (states, bad) = crash_while_writing(Some(mutant));
        assert!(!bad.is_empty(), "{mutant:?} was not noticed in {states} states");
    }
}

#[test]
fn replacing_never_leaves_neither() {
    let sim = sim_with_old();
    replace_folder(&sim, &run_path("old"), NEW_FILES).unwrap();
    let (mut old, mut new) = (0, 0);
    let states = sim.each_crash_state(|crashed, complete| {
        let read = read_folder(crashed, &run_path("old"));
        if holds(&read, OLD_FILES) && !complete {
            old += 1;
        } else if holds(&read, NEW_FILES) {
            new += 1;
        } else {
            panic!("complete: {complete}; neither old nor new: {read:?} in {:?}", crashed.tree().keys());
        }
        // Cleaning up restores the name and loses nothing.
        clean_temporaries(crashed, Path::new("/run")).unwrap();
        assert_eq!(crashed.list(Path::new("/run")).unwrap(), ["old"]);
        assert_eq!(read_folder(crashed, &run_path("old")).unwrap(), read.unwrap());
        // A crash in the middle must not stand in the way of the next attempt.
        replace_folder(crashed, &run_path("old"), OLD_FILES).unwrap();
        assert!(holds(&read_folder(crashed, &run_path("old")), OLD_FILES));
    });
    println!("replace_folder: {states} crash states, {old} with the old and {new} with the new folder");
    assert!(old > 0 && new > 0, "{states} states: {old} old, {new} new");
}

#[test]
fn a_file_is_replaced_as_a_whole_or_not_at_all() {
    let path = Path::new("/run/last");
    let write = |mutant: Option<Mutant>| {
        let sim = sim_with_old();
        write_file_atomic(&sim, path, b"step-00000001\n").unwrap();
        sim.settle();
        if let Some(mutant) = mutant {
            sim.plant(mutant);
        }
        write_file_atomic(&sim, path, b"step-00000002\n").unwrap();
        let mut bad = 0;
        let states = sim.each_crash_state(|crashed, complete| {
            let read = crashed.read(path).unwrap_or_default();
            let is_good = read == b"step-00000002\n" || (!complete && read == b"step-00000001\n");
            bad += usize::from(!is_good);
        });
        (states, bad)
    };
    assert!(matches!(write(None), (10.., 0)), "{:?}", write(None));
    assert!(write(Some(Mutant::NoFileSync)).1 > 0);
    assert!(write(Some(Mutant::NoDirSync)).1 > 0);
}

#[test]
fn a_fault_at_any_call_leaves_the_old_folder_and_no_rubbish() {
    let faults = [
        Fault::Once(io::ErrorKind::StorageFull),
        Fault::Once(io::ErrorKind::PermissionDenied),
        Fault::Once(io::ErrorKind::Other),
        Fault::Once(io::ErrorKind::Interrupted),
        Fault::Full,
        Fault::ShortWrite,
    ];
    type Write = fn(&SimDisk) -> Result<()>;
    let write: Write = |sim| write_folder(sim, &run_path("new"), NEW_FILES);
    let replace: Write = |sim| replace_folder(sim, &run_path("old"), NEW_FILES);
    let mut tried = 0;
    let mut failed = 0;
    for (run, target) in [(write, "new"), (replace, "old")] {
        for fault in faults {
            let calls = {
                let sim = sim_with_old();
                run(&sim).unwrap();
                sim.calls()
            };
            for call in 0..calls {
                let sim = sim_with_old();
                sim.fail_at(call, fault);
                let result = run(&sim);
                sim.heal();
                tried += 1;
                let context = format!("{fault:?} at call {call} of {calls}, {target}: {result:?}");
                let read = read_folder(&sim, &run_path(target));
                match &result {
                    Ok(()) => assert!(holds(&read, NEW_FILES), "{context}"),
                    Err(error) => {
                        failed += 1;
                        assert!(matches!(error, Error::Io { .. }), "{context}");
                        assert!(error.to_string().contains("/run"), "the path is named: {error}");
                        let is_whole = match &read {
                            Err(Error::NoFolder { .. }) => target == "new",
                            read => holds(read, NEW_FILES) || holds(read, OLD_FILES),
                        };
                        assert!(is_whole, "{context}; {read:?}");
                    }
                }
                if target == "new" {
                    assert!(holds(&read_folder(&sim, &run_path("old")), OLD_FILES), "{context}");
                }
                let left = sim.list(Path::new("/run")).unwrap();
                assert!(!left.iter().any(|name| name.starts_with(TEMPORARY)), "{context}: {left:?}");
                // Once space is back, the same write succeeds.
                replace_folder(&sim, &run_path(target), NEW_FILES).unwrap();
                assert!(holds(&read_folder(&sim, &run_path(target)), NEW_FILES), "{context}");
            }
        }
    }
    println!("faults: {tried} tried, {failed} were errors, 0 lost data");
    assert!(failed > 50, "only {failed} of {tried} faults showed");
}

#[cfg(unix)]
#[test]
fn an_atomic_write_keeps_the_mode_and_refuses_what_is_no_file() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("config.toml");
    fs::write(&path, "a").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    write_file_atomic(&Disk, &path, b"b").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"b");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    let error = write_file_atomic(&Disk, parent.path(), b"b").unwrap_err();
    assert!(matches!(error, Error::WrongKind { found: "a folder", .. }), "{error}");
    let error = write_file_atomic(&Disk, Path::new("/"), b"b").unwrap_err();
    assert!(matches!(error, Error::WrongKind { .. } | Error::FileName { .. }), "{error}");
}

#[test]
fn readers_never_see_a_partial_file() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("last");
    let contents = |round: u8| vec![round; 4096];
    write_file_atomic(&Disk, &path, &contents(0)).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) {
                let read = fs::read(&path).unwrap();
                assert!(
                    read.len() == 4096 && read.iter().all(|&byte| byte == read[0]),
                    "a partial file was seen"
                );
                reads += 1;
            }
            reads
        });
        for round in 0..100 {
            write_file_atomic(&Disk, &path, &contents(round)).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}
