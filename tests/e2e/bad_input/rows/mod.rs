//! The bad inputs: one row each. Everything runs in a folder that [`super::base`] has filled.

mod configuration;
mod data;
mod decoding;
mod folders;
mod options;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use crate::dir::Dir;

/// A bad input and what is made of it.
pub struct Row {
    /// What is wrong.
    pub input: &'static str,
    /// Makes it.
    pub make: fn(&Dir),
    /// The words after `seqweave`; `< FILE` at the end stands for itself.
    pub command: &'static str,
    pub exit: i32,
    /// What the message must contain.
    pub says: &'static [&'static str],
    /// Whether it is a matter of permissions, which a user who may do everything would not notice.
    pub without_privileges: bool,
}

impl Row {
    fn without_privileges(self) -> Row {
        Row { without_privileges: true, ..self }
    }
}

fn row(
    input: &'static str,
    make: fn(&Dir),
    command: &'static str,
    exit: i32,
    says: &'static [&'static str],
) -> Row {
    Row { input, make, command, exit, says, without_privileges: false }
}

/// The rows under their headings.
pub fn sections() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("Text to translate", data::text()),
        ("Sentence pairs", data::pairs()),
        ("Training data", data::training_data()),
        ("Shards", data::shards()),
        ("Configuration", configuration::rows()),
        ("Model folders", folders::models()),
        ("Run folders", folders::runs()),
        ("Options", options::rows()),
        ("Samples, phrases, ensembles", decoding::rows()),
        ("Figures", options::figures()),
    ]
}

fn nothing(_: &Dir) {}

/// Sets the permissions of a file or folder.
fn allow(d: &Dir, name: &str, mode: u32) {
    std::fs::set_permissions(d.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Bytes as a gzip file.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
