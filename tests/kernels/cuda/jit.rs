//! Kernels that are compiled when they are first wanted.

use super::{alone, device};
use seqweave_tensor::{Tensor, ops};
use std::path::Path;

const JIT: (&str, &str) = ("SEQWEAVE_KERNELS", "jit");
/// The sources, as seen from the folder in which tests run.
const SOURCES: (&str, &str) =
    ("SEQWEAVE_KERNELS_SOURCE", concat!(env!("CARGO_MANIFEST_DIR"), "/../kernels/cu"));
const LIBRARY: &str = "SEQWEAVE_NVRTC_LIBRARY";

#[test]
fn what_is_missing_is_said() {
    let Some(cuda) = device() else { return };
    let name = "cuda::jit::what_is_missing_is_said";
    // (environment, what the error says)
    let rows = [
        ([JIT, SOURCES, (LIBRARY, "no/such/library.so")], "SEQWEAVE_NVRTC_LIBRARY: no/such/library.so"),
        ([JIT, ("SEQWEAVE_KERNELS_SOURCE", "no/such/folder"), (LIBRARY, "")], "no/such/folder"),
        ([("SEQWEAVE_KERNELS", "yes"), SOURCES, (LIBRARY, "")], "expected jit or built-in, found `yes`"),
    ];
    for (environment, expected) in rows {
        let expect = [environment[0], environment[1], environment[2], ("SEQWEAVE_TEST_EXPECTED", expected)];
        if alone(name, &expect) {
            let expected = std::env::var("SEQWEAVE_TEST_EXPECTED").unwrap();
            let _ = Tensor::scalar(&cuda, 1.0); // it remembers the error, which the next operation gives
            let error = ops::scale(&Tensor::scratch(&cuda, [3]), 2.0).unwrap_err().to_string();
            assert!(error.starts_with("SEQWEAVE_KERNELS=jit: ") && error.contains(&expected), "{error}");
            assert!(error.contains("\nhelp: unset SEQWEAVE_KERNELS"), "{error}");
            return;
        }
    }
}

#[test]
fn kernels_compiled_here_are_kept_and_give_the_same_bits() {
    let Some(cuda) = device() else { return };
    let Some(library) = std::env::var_os(LIBRARY).filter(|path| Path::new(path).exists()) else {
        return println!("skipped: no NVRTC ({LIBRARY} names none)");
    };
    let library = library.to_string_lossy().into_owned();
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().to_string_lossy().into_owned();
    let name = "cuda::jit::kernels_compiled_here_are_kept_and_give_the_same_bits";
    let here = std::env::var("SEQWEAVE_KERNELS_CACHE").unwrap_or(cache.clone());
    let kept = || {
        let files =
            std::fs::read_dir(&here).map_or(vec![], |files| files.map(|f| f.unwrap().path()).collect());
        files.into_iter().map(|path| (path.metadata().unwrap().modified().unwrap(), path)).collect::<Vec<_>>()
    };
    let environment = [JIT, SOURCES, (LIBRARY, &library), ("SEQWEAVE_KERNELS_CACHE", &cache)];
    if alone(name, &environment) {
        let x = crate::table::tensor([33], 0.3);
        let doubled = ops::scale(&x.to(&cuda).unwrap(), 2.0).unwrap();
        assert_eq!(doubled.to_vec(), ops::scale(&x, 2.0).unwrap().to_vec());
        return;
    }
    let first = kept();
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0].1.extension().is_some_and(|ending| ending == "cubin"), "{first:?}");
    alone(name, &environment);
    assert_eq!(kept(), first, "the second process takes what the first has kept");
}
