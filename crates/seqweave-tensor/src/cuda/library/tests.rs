//! Looking for cuBLASLt among stub libraries, each in a process of its own: a library is opened once a process.

use super::*;
use crate::cuda::stubs::{ask, compile};

/// Set in the process that looks for the library.
const CHILD: &str = "SEQWEAVE_TEST_LIBRARY";

/// Not a test of its own: what the processes that the other tests start run.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_some() {
        crate::cuda::stubs::answer(&match find() {
            Ok(version) => format!("version {}", in_words(version)),
            Err(reason) => reason,
        });
    }
}

/// The answer of a process whose loader finds a library made of this C text, or none.
fn look(text: Option<&str>) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    if let Some(text) = text {
        compile(folder.path(), "libcublasLt.so", text)?;
    }
    Some(ask("cuda::library::tests::child", folder.path(), (CHILD, "1")))
}

/// All entries but `without`; the version is `version`.
fn stub(version: usize, without: &str) -> String {
    let there = SYMBOLS.iter().filter(|&&symbol| symbol != without);
    let entry = |symbol: &&str| match *symbol {
        "cublasLtGetVersion" => format!("unsigned long {symbol}(void) {{ return {version}; }}\n"),
        _ => format!("int {symbol}() {{ return 1; }}\n"),
    };
    there.map(entry).collect()
}

#[test]
fn every_obstacle_is_an_answer() {
    // SAFETY: as in `find`.
    if unsafe { sys::is_culib_present() } {
        return println!("skipped: this machine has the library");
    }
    assert_eq!(look(None).unwrap(), "no cuBLASLt library was found");
    let lacks = |symbol| format!("the cuBLASLt library lacks {symbol}, so it is a stub or too old");
    let old = "the cuBLASLt library is of version 11.11.3, 12 or later is needed".to_owned();
    // (text of the library, answer)
    let rows = [
        ("int nothing;\n".to_owned(), lacks("cublasLtGetVersion")),
        (stub(130_000, "cublasLtMatmul"), lacks("cublasLtMatmul")),
        (stub(130_000, "cublasLtMatmulAlgoGetHeuristic"), lacks("cublasLtMatmulAlgoGetHeuristic")),
        (stub(111_103, ""), old),
        (stub(120_803, ""), "version 12.8.3".to_owned()),
        (stub(130_101, ""), "version 13.1.1".to_owned()),
    ];
    for (text, want) in rows {
        let Some(answer) = look(Some(&text)) else { return };
        assert_eq!(answer, want);
    }
}

#[test]
fn an_address_is_as_aligned_as_it_is() {
    for (address, want) in [(0x7f00_0000_0200, 16), (0x1008, 8), (0x1004, 4), (0x1002, 2), (0x1010, 16)] {
        assert_eq!(alignment(address), want, "{address:#x}");
    }
}
