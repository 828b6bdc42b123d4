//! Cross-crate tests live in the folders beside this file; see `docs/guide/testing.md`.

#![forbid(unsafe_code)]
