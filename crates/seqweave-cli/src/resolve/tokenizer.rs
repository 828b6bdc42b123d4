//! Values of `tokenizer`.

use std::path::PathBuf;

use seqweave_data::{Form, OriginName, Side, SubwordConfig, SubwordKind};

use crate::args::{
    FormName, PieceModel, ProgramName, SideName, TokenizerImport, TokenizerTrain, TokenizerVerb, TokensOf,
};

/// What `tokenizer` is to do.
#[derive(Debug)]
pub enum Tokenizer {
    /// Learn pieces.
    Train(LearnPieces),
    /// Cut lines into tokens.
    Encode(Tokens),
    /// Join tokens to lines.
    Decode(Tokens),
    /// Say what tokens there are.
    Info {
        /// The tokenizer file or the model.
        path: PathBuf,
        /// One side of the model.
        side: Option<Side>,
        /// Every token too.
        pieces: bool,
    },
    /// Take over a file of another program.
    Import(Import),
}

/// Whose tokens are meant.
#[derive(Debug, PartialEq, Eq)]
pub enum Tokens {
    /// Those of a tokenizer file.
    File(PathBuf),
    /// Those of one side of a model.
    Model(PathBuf, Side),
}

/// Values of `tokenizer train`.
#[derive(Debug)]
pub struct LearnPieces {
    /// Files of text.
    pub input: Vec<PathBuf>,
    /// The file to write.
    pub output: PathBuf,
    /// How.
    pub config: SubwordConfig,
}

/// Values of `tokenizer import`.
#[derive(Debug)]
pub struct Import {
    /// The file.
    pub file: PathBuf,
    /// The file to write.
    pub output: PathBuf,
    /// The program that wrote the file, if it is not to be guessed.
    pub program: Option<OriginName>,
    /// Texts whose characters are pieces too.
    pub alphabet: Vec<PathBuf>,
}

pub(super) fn tokenizer(raw: TokenizerVerb) -> Tokenizer {
    match raw {
        TokenizerVerb::Train(raw) => Tokenizer::Train(train(raw)),
        TokenizerVerb::Encode(raw) => Tokenizer::Encode(tokens(raw.of)),
        TokenizerVerb::Decode(raw) => Tokenizer::Decode(tokens(raw.of)),
        TokenizerVerb::Info(raw) => {
            Tokenizer::Info { path: raw.path, side: raw.side.map(side), pieces: raw.pieces }
        }
        TokenizerVerb::Import(raw) => Tokenizer::Import(import(raw)),
    }
}

fn side(name: SideName) -> Side {
    match name {
        SideName::Source => Side::Source,
        SideName::Target => Side::Target,
    }
}

fn tokens(raw: TokensOf) -> Tokens {
    match (raw.model, raw.tokenizer) {
        (Some(model), _) => Tokens::Model(model, side(raw.side)),
        (None, file) => Tokens::File(file.expect("the command line has one of the two")),
    }
}

fn train(raw: TokenizerTrain) -> LearnPieces {
    let TokenizerTrain { input, output, model, vocab_size, byte_fallback, normalize, lowercase } = raw;
    let kind = match model {
        PieceModel::Bpe => SubwordKind::Bpe,
        PieceModel::Unigram => SubwordKind::Unigram,
    };
    let form = match normalize {
        FormName::None => Form::None,
        FormName::Nfc => Form::Nfc,
        FormName::Nfkc => Form::Nfkc,
    };
    let config = SubwordConfig { kind, pieces: vocab_size, byte_fallback, form, lowercase };
    LearnPieces { input, output, config }
}

fn import(raw: TokenizerImport) -> Import {
    let TokenizerImport { file, output, from, alphabet } = raw;
    let program = from.map(|program| match program {
        ProgramName::Huggingface => OriginName::HuggingFace,
        ProgramName::Sentencepiece => OriginName::SentencePiece,
        ProgramName::SubwordNmt => OriginName::SubwordNmt,
    });
    Import { file, output, program, alphabet }
}

#[cfg(test)]
mod tests {
    use super::super::Task;
    use super::super::tests::task;
    use super::*;

    #[test]
    fn names_become_what_they_stand_for() {
        let line = "tokenizer train --input a b --model unigram --normalize nfc --vocab-size 90 -o t.json";
        let Task::Tokenizer(Tokenizer::Train(job)) = task(line) else { panic!("{line}") };
        assert_eq!((job.input.len(), job.output), (2, "t.json".into()));
        let SubwordConfig { kind, pieces, byte_fallback, form, lowercase } = job.config;
        assert_eq!((kind, pieces, form), (SubwordKind::Unigram, 90, Form::Nfc));
        assert!(!byte_fallback && !lowercase);
        let line = "tokenizer import codes -o t.json --from subword-nmt";
        let Task::Tokenizer(Tokenizer::Import(job)) = task(line) else { panic!("{line}") };
        assert_eq!(job.program, Some(OriginName::SubwordNmt));
        let Task::Tokenizer(Tokenizer::Decode(of)) = task("tokenizer decode -t t.json") else {
            panic!("decode")
        };
        assert_eq!(of, Tokens::File("t.json".into()));
        let line = "tokenizer encode -m run --side target";
        let Task::Tokenizer(Tokenizer::Encode(of)) = task(line) else { panic!("{line}") };
        assert_eq!(of, Tokens::Model("run".into(), Side::Target));
    }
}
