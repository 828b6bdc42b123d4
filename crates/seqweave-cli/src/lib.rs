//! What the `seqweave` binary is made of: figures, arguments, output formats, commands.
//!
//! This is a library only so that examples and tests can reach its parts; programs should depend on `seqweave`.
//!
//! A run of the program is: [`args`] (what was typed) → [`resolve`] (what is meant, checked) → [`commands`] (one module
//! a verb) → [`exit`] (how it ended). Results go to stdout; everything else goes to stderr through [`ui`].
#![forbid(unsafe_code)]

pub mod args;
pub mod chunks;
pub mod commands;
pub mod exit;
pub mod hints;
pub mod history;
pub mod output;
pub mod plot;
pub mod progress;
pub mod report;
pub mod resolve;
pub mod stop;
pub mod ui;
pub mod values;
pub mod watch;
