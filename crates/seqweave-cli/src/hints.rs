//! What a command line that cannot be parsed may have meant.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The error with a tip, where a configuration file stands without its option.
pub fn explained(mut error: clap::Error) -> clap::Error {
    let argument = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(argument))) => argument.clone(),
        _ => return error,
    };
    if argument.ends_with(".toml") {
        let tip = format!("a configuration file comes after -c, as in `-c {argument}`");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Args;
    use clap::Parser;

    fn said(line: &str) -> String {
        let words = ["seqweave"].into_iter().chain(line.split(' '));
        explained(Args::try_parse_from(words).expect_err(line)).to_string()
    }

    #[test]
    fn a_configuration_without_its_option_is_understood() {
        for line in ["train mine.toml", "config check mine.toml"] {
            assert!(
                said(line).contains("tip: a configuration file comes after -c, as in `-c mine.toml`"),
                "{line}"
            );
        }
        assert!(!said("train mine").contains("-c mine"));
        assert!(!said("train").contains("tip:"));
    }
}
