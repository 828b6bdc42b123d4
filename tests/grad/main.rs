//! Gradients of every row of the op table against central differences, in f64.
//!
//! `RUSTFLAGS="--cfg seqweave_f64" cargo test --target-dir target/f64 -p seqweave-tests --test grad`
//!
//! In the f32 build a difference quotient has two or three digits, so this executable only says where the check is.

#[cfg(seqweave_f64)]
#[allow(dead_code)] // determinism and completeness are checked by `tests/kernels`
#[path = "../kernels/table.rs"]
mod table;

#[cfg(seqweave_f64)]
mod differences;

#[cfg(seqweave_f64)]
#[allow(dead_code)] // the tolerance is that of f32
#[path = "../kernels/reference.rs"]
mod reference;

#[cfg(seqweave_f64)]
#[test]
fn the_reference_of_the_op_table_is_what_the_rows_give() {
    if std::env::var_os("SEQWEAVE_UPDATE_REFERENCE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/reference.tsv");
        std::fs::write(path, reference::text()).unwrap();
        return;
    }
    let (distance, row) = reference::farthest(&seqweave_tensor::Device::cpu());
    assert!(
        distance <= 1e-10,
        "{row} is off by {distance:e}\n\
         help: if that is meant, write the file anew: SEQWEAVE_UPDATE_REFERENCE=1 cargo xtask test grad"
    );
}

#[cfg(not(seqweave_f64))]
#[test]
fn gradients_are_checked_in_the_f64_build() {
    println!("skipped: gradient checks need the f64 build: RUSTFLAGS=\"--cfg seqweave_f64\"");
    assert_eq!(size_of::<seqweave_tensor::Float>(), 4, "this build must be the f32 one");
}
