//! Corpora with every fault we know of: a row names the case and what must come of it.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use seqweave_data::{Error, Pair, SourceSpec, load, pairs};

/// What a case must give.
enum Want {
    /// These pairs.
    Pairs(&'static [(&'static str, &'static str)]),
    /// An error whose message contains the fragment.
    Fault(&'static str),
}
use Want::{Fault, Pairs};

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn check(case: &str, want: &Want, found: Result<Vec<Pair>, Error>) {
    match (want, found) {
        (Pairs(want), Ok(found)) => {
            let found: Vec<(&str, &str)> = found.iter().map(|p| (p.src.as_str(), p.tgt.as_str())).collect();
            assert_eq!(found, *want, "{case}");
        }
        (Fault(want), Err(error)) => {
            let message = error.to_string();
            assert!(message.contains(want), "{case}: expected {want:?} in: {message}");
            assert!(message.contains("\nhelp: "), "{case}: no next step in: {message}");
        }
        (Pairs(_), Err(error)) => panic!("{case}: expected pairs, found {error}"),
        (Fault(want), Ok(found)) => panic!("{case}: expected {want:?}, found {found:?}"),
    }
}

#[test]
fn tsv_cases() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases: &[(&str, &[u8], Want)] = &[
        ("plain", b"a b\tx\nc\ty z\n", Pairs(&[("a b", "x"), ("c", "y z")])),
        ("no final newline", b"a\tx\nb\ty", Pairs(&[("a", "x"), ("b", "y")])),
        ("CRLF", b"a\tx\r\nb\ty\r\n", Pairs(&[("a", "x"), ("b", "y")])),
        ("byte order mark", b"\xEF\xBB\xBFa\tx\n", Pairs(&[("a", "x")])),
        ("mark inside", "a\t\u{feff}x\n".as_bytes(), Pairs(&[("a", "\u{feff}x")])),
        ("lone CR is text", b"a\rb\tx\n", Pairs(&[("a\rb", "x")])),
        ("U+2028 is text", "a\u{2028}b\tx\n".as_bytes(), Pairs(&[("a\u{2028}b", "x")])),
        ("U+2029 is text", "a\u{2029}b\tx\n".as_bytes(), Pairs(&[("a\u{2029}b", "x")])),
        ("U+0085 is text", "a\u{85}b\tx\n".as_bytes(), Pairs(&[("a\u{85}b", "x")])),
        ("form feed is text", b"a\x0Cb\tx\x0B\n", Pairs(&[("a\x0Cb", "x\x0B")])),
        ("empty source", b"\tx\n", Pairs(&[("", "x")])),
        ("empty target", b"a\t\n", Pairs(&[("a", "")])),
        ("noncharacters", "\u{ffff}\t\u{10ffff}\n".as_bytes(), Pairs(&[("\u{ffff}", "\u{10ffff}")])),
        ("0 bytes", b"", Fault("the file is empty, expected at least one line")),
        ("only a mark", b"\xEF\xBB\xBF", Fault("the file is empty")),
        ("missing tab", b"a\tx\nb y\n", Fault(":2: expected 2 columns (source<TAB>target), found 1")),
        ("empty line", b"a\tx\n\nb\ty\n", Fault(":2: expected 2 columns (source<TAB>target), found 1")),
        ("extra column", b"a\tx\nb\ty\tz\n", Fault(":2: expected 2 columns (source<TAB>target), found 3")),
        ("trailing tab", b"a\tx\t\n", Fault(":1: expected 2 columns (source<TAB>target), found 3")),
        ("NUL", b"a\tx\nb\0\ty\n", Fault(":2: NUL character at byte 5 of the file (byte 2 of the line)")),
        ("continuation byte", b"a\tx\n\x80\ty\n", Fault(":2: invalid UTF-8 at byte 4 of the file")),
        ("overlong slash", b"\xC0\xAF\tx\n", Fault(":1: invalid UTF-8 at byte 0 of the file")),
        ("overlong euro", b"\xF0\x82\x82\xAC\tx\n", Fault("overlong encoding that begins with F0")),
        ("lone high surrogate", b"a\t\xED\xA0\xBD\n", Fault("half of a surrogate pair")),
        ("CESU-8 pair", b"a\t\xED\xA0\xBD\xED\xB8\x80\n", Fault("half of a surrogate pair")),
        ("above U+10FFFF", b"a\t\xF4\x90\x80\x80\n", Fault("code point above U+10FFFF")),
        ("Latin-1", b"M\xFCller\tx\n", Fault("(byte 2 of the line): byte FC, which UTF-8 never uses")),
        ("UTF-16 with mark", b"\xFF\xFEa\0\t\0x\0\n\0", Fault("the file may be UTF-16")),
        ("UTF-16 without mark", b"a\0\t\0x\0\n\0", Fault("convert the file if it is UTF-16")),
        ("character cut by the end", b"a\tx\nb\t\xE2\x82", Fault(":2: invalid UTF-8 at byte 6 of the file")),
    ];
    for (case, bytes, want) in cases {
        // The same bytes must give the same answer plain, as gzip, and as gzip without the name for it.
        for (name, bytes) in
            [("t.tsv", bytes.to_vec()), ("t.tsv.gz", gzip(bytes)), ("packed.tsv", gzip(bytes))]
        {
            if name == "t.tsv.gz" && bytes.is_empty() {
                continue;
            }
            let path = folder.path().join(name);
            fs::write(&path, bytes).expect("a writable folder");
            check(&format!("{case} in {name}"), want, load(&SourceSpec::Tsv { path }));
        }
    }
}

#[test]
fn parallel_cases() {
    let folder = tempfile::tempdir().expect("a folder");
    let (src, tgt) = (folder.path().join("t.src"), folder.path().join("t.tgt"));
    let spec = SourceSpec::Parallel { src: src.clone(), tgt: tgt.clone() };
    let cases: &[(&str, &[u8], &[u8], Want)] = &[
        ("plain", b"a\nb\n", b"x\ny\n", Pairs(&[("a", "x"), ("b", "y")])),
        ("tabs are text", b"a\tb\n", b"x\n", Pairs(&[("a\tb", "x")])),
        ("endings differ", b"a\r\nb", b"x\ny\n", Pairs(&[("a", "x"), ("b", "y")])),
        ("empty lines on one side", b"a\n\nc\n", b"\ny\nz\n", Pairs(&[("a", ""), ("", "y"), ("c", "z")])),
        (
            "separators do not shift lines",
            "a\u{2028}b\nc\n".as_bytes(),
            b"x\ny\n",
            Pairs(&[("a\u{2028}b", "x"), ("c", "y")]),
        ),
        ("source longer", b"a\nb\nc\nd\n", b"x\ny\n", Fault("t.src:3: this line has no partner")),
        ("target longer", b"a\n", b"x\ny\n", Fault("t.tgt:2: this line has no partner")),
        ("counts", b"a\nb\nc\nd", b"x\n", Fault("t.src has 4 lines, ")),
        (
            "counts of the other",
            b"a\nb\nc\nd",
            b"x\n",
            Fault("t.tgt has 1\nhelp: parallel files need equal line counts"),
        ),
        ("one empty line more", b"a\n\n", b"x\n", Fault("t.src:2: this line has no partner")),
        ("source empty", b"", b"x\n", Fault("t.src: the file is empty")),
        ("target empty", b"a\n", b"", Fault("t.tgt: the file is empty")),
        ("target only a mark", b"a\n", b"\xEF\xBB\xBF", Fault("t.tgt: the file is empty")),
        ("fault in the target", b"a\nb\n", b"x\n\xFF\n", Fault("t.tgt:2: invalid UTF-8")),
        ("NUL in the source", b"a\nb\0\n", b"x\ny\n", Fault("t.src:2: NUL character")),
    ];
    for (case, src_bytes, tgt_bytes, want) in cases {
        fs::write(&src, src_bytes).expect("a writable folder");
        fs::write(&tgt, tgt_bytes).expect("a writable folder");
        check(case, want, load(&spec));
    }
}

#[test]
fn files_that_are_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let tsv = |path: &Path| load(&SourceSpec::Tsv { path: path.to_owned() });
    check("missing", &Fault("nowhere.tsv: no such file"), tsv(&folder.path().join("nowhere.tsv")));
    check("directory", &Fault("expected a text file, found a directory"), tsv(folder.path()));
    check("directory named .gz", &Fault("found a directory"), {
        let path = folder.path().join("d.gz");
        fs::create_dir(&path).expect("a writable folder");
        tsv(&path)
    });
    let file = folder.path().join("plain.tsv");
    fs::write(&file, "a\tx\n").expect("a writable folder");
    let below = load(&SourceSpec::Tsv { path: file.join("below") }).expect_err("a file is no folder");
    assert!(matches!(below, Error::Io { action: "open", .. } | Error::NotFound { .. }), "{below:?}");
    let missing_side = load(&SourceSpec::Parallel { src: file, tgt: folder.path().join("no.tgt") });
    check("missing target", &Fault("no.tgt: no such file"), missing_side);
}

#[cfg(unix)]
#[test]
fn files_that_cannot_be_read() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().expect("a folder");
    let tsv = |path: &Path| load(&SourceSpec::Tsv { path: path.to_owned() });

    // A link to itself cannot be opened by anybody; a mode of 0 stops everybody but the superuser.
    let path = folder.path().join("loop.tsv");
    symlink(&path, &path).expect("a writable folder");
    check("link to itself", &Fault("loop.tsv: cannot open: "), tsv(&path));
    let path = folder.path().join("secret.tsv");
    fs::write(&path, "a\tx\n").expect("a writable folder");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("own file");
    let want =
        if fs::File::open(&path).is_ok() { Pairs(&[("a", "x")]) } else { Fault("secret.tsv: cannot open: ") };
    check("no permission", &want, tsv(&path));
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_fails_while_it_is_read() {
    // Opening one's own memory works, reading its first page does not.
    let found = load(&SourceSpec::Tsv { path: "/proc/self/mem".into() });
    check("input/output error", &Fault("/proc/self/mem: cannot read: "), found);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_like_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo is in POSIX");
    assert!(made.success());
    let writer = {
        let path = path.clone();
        std::thread::spawn(move || {
            let mut pipe = fs::OpenOptions::new().write(true).open(path).expect("a reader");
            // One byte at a time: neither the magic nor a line arrives whole.
            for byte in gzip(b"a\tx\nb\ty\n") {
                pipe.write_all(&[byte]).expect("a reader");
            }
        })
    };
    check("pipe", &Pairs(&[("a", "x"), ("b", "y")]), load(&SourceSpec::Tsv { path }));
    writer.join().expect("written");
}

#[test]
fn gzip_members_are_read_to_the_end_and_damage_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.tsv.gz");
    let spec = SourceSpec::Tsv { path: path.clone() };
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("a writable folder");
        load(&spec)
    };
    let two = [gzip(b"a\tx\nb"), gzip(b"\ty\n")].concat();
    check("a line over two members", &Pairs(&[("a", "x"), ("b", "y")]), read(&two));
    check("an empty member", &Pairs(&[("a", "x")]), read(&[gzip(b""), gzip(b"a\tx\n")].concat()));
    check("only an empty member", &Fault("the file is empty"), read(&gzip(b"")));
    check("plain text", &Fault("does not begin with the gzip magic 1f 8b (found 61 09)"), read(b"a\tx\n"));
    check("one byte", &Fault("(found 1f)"), read(&[0x1F]));
    check("0 bytes", &Fault("the file is empty"), read(b""));
    check(
        "text behind",
        &Fault("damaged gzip data after line 1"),
        read(&[gzip(b"a\tx\n"), b"more".to_vec()].concat()),
    );

    // Cut anywhere but between members, the file is not whole.
    let text: String = (0..200).map(|i| format!("{i}\t{}\n", i * i)).collect();
    let whole = gzip(text.as_bytes());
    for cut in 2..whole.len() {
        let error = read(&whole[..cut]).expect_err("a cut file");
        assert!(matches!(error, Error::Gzip { .. }), "cut at {cut}: {error:?}");
    }
    // A flipped bit of the data, the checksum or the length is found, unless the text is the same without it:
    // the compressed form has a few bits that fill up a byte, and copies that could come from two places.
    let text = read(&whole).expect("a whole file");
    let mut unchanged = 0;
    for at in 10..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        match read(&damaged) {
            Err(error) => assert!(!matches!(error, Error::Io { .. }), "byte {at}: {error:?}"),
            Ok(pairs) => {
                assert_eq!(pairs, text, "byte {at}");
                unchanged += 1;
            }
        }
    }
    assert!(unchanged < 5, "{unchanged} damaged files passed");
}

#[test]
fn a_long_line_is_refused_plain_and_packed() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = [b"a\tx\n".to_vec(), vec![b'x'; 10 << 20], b"\n".to_vec()].concat();
    for (name, bytes) in [("long.tsv", line.clone()), ("bomb.tsv.gz", gzip(&line))] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("a writable folder");
        let spec = SourceSpec::Tsv { path };
        check(name, &Fault(":2: the line is longer than 1048576 bytes"), load(&spec));
        // What was good before is delivered, and the stream ends with the error.
        let items: Vec<bool> = pairs(&spec).expect("a file").map(|item| item.is_ok()).collect();
        assert_eq!(items, [true, false], "{name}");
        let short = pairs(&spec).expect("a file").with_line_cap(2).next().expect("a line");
        assert!(matches!(short, Err(Error::LineTooLong { line: 1, cap: 2, .. })), "{short:?}");
    }
}
