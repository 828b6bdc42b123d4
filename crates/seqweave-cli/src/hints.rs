//! What a command line that cannot be parsed may have meant.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The error with a tip, where something stands without its option.
pub fn explained(mut error: clap::Error) -> clap::Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::StyledStr(text)) => text.to_string(),
        _ => String::new(),
    };
    let tip = match error.kind() {
        ErrorKind::UnknownArgument => misplaced(&text(ContextKind::InvalidArg), &text(ContextKind::Usage)),
        ErrorKind::InvalidSubcommand if text(ContextKind::InvalidSubcommand) == "help" => {
            Some("help comes after a verb, as in `seqweave train --help`".to_owned())
        }
        _ => None,
    };
    if let Some(tip) = tip {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// Where an argument belongs that the verb of this usage does not take.
fn misplaced(argument: &str, usage: &str) -> Option<String> {
    let verb = |name: &str| usage.contains(&format!("seqweave {name}"));
    if argument == "--resume" && verb("train") {
        return Some("the same command goes on where the run stopped".to_owned());
    }
    if argument.starts_with('-') {
        return None;
    }
    if argument.ends_with(".toml") {
        return Some(format!("a configuration file comes after -c, as in `-c {argument}`"));
    }
    let tip = match () {
        () if verb("translate") => "text comes on standard input, or from a file after -i",
        () if verb("tokenizer encode") || verb("tokenizer decode") => "lines come on standard input",
        () if verb("init") => "files of pairs come after --data",
        () => return None,
    };
    Some(tip.to_owned())
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
        assert!(said("translate -m run text.txt").contains("tip: text comes on standard input"));
        assert!(said("tokenizer decode -m run text.txt").contains("tip: lines come on standard input"));
        assert!(said("init mine pairs.tsv").contains("tip: files of pairs come after --data"));
        assert!(said("train -c a.toml --resume").contains("tip: the same command goes on"));
        assert!(said("help train").contains("`seqweave train --help`"));
        assert!(!said("train mine").contains("-c mine"));
        assert!(!said("train").contains("tip:"));
    }
}
