//! From the sections of the configuration to what the crates below take.

use super::sections::*;
use seqweave_data::{Amount, SourceSpec};
use seqweave_nn as nn;
use seqweave_seq2seq as s2s;

impl Config {
    /// The data section, as `seqweave-data` takes it.
    pub fn data_config(&self) -> seqweave_data::DataConfig {
        let DataConfig { train, dev, test, split, filter, src, tgt, vocab } = &self.data;
        let amount = |share: f64| if share == 0.0 { Amount::Pairs(0) } else { Amount::Share(share) };
        let side = |side: &TokenizerConfig| seqweave_data::SideConfig {
            level: match side.level {
                Level::Word => seqweave_data::Level::Word,
                Level::Char => seqweave_data::Level::Char,
            },
            lowercase: side.lowercase,
            min_freq: vocab.min_count,
            max_vocab: if vocab.max_size == 0 { 0 } else { vocab.max_size as usize + seqweave_data::SPECIALS.len() },
        };
        seqweave_data::DataConfig {
            train: Some(corpus(train)),
            dev: dev.as_ref().map(corpus),
            test: test.as_ref().map(corpus),
            shared_vocab: vocab.joint,
            src: side(src),
            tgt: side(tgt),
            filter: seqweave_data::FilterConfig {
                max_src_len: filter.max_src_len as usize,
                max_tgt_len: filter.max_tgt_len as usize,
                min_len: filter.min_len as usize,
                max_len_ratio: (filter.max_len_ratio > 0.0).then_some(filter.max_len_ratio),
                dedup: filter.dedup,
            },
            split: seqweave_data::SplitConfig {
                dev: amount(split.dev),
                test: amount(split.test),
                seed: split.seed,
            },
            ..seqweave_data::DataConfig::default()
        }
    }

    /// The batch section, as `seqweave-data` takes it.
    pub fn batch_config(&self) -> seqweave_data::BatchConfig {
        let BatchConfig { tokens, max_sentences, .. } = self.train.batch;
        seqweave_data::BatchConfig {
            tokens: tokens as usize,
            max_sentences: max_sentences as usize,
            ..seqweave_data::BatchConfig::default()
        }
    }

    /// The model section, as `seqweave-seq2seq` takes it.
    pub fn model_config(&self) -> s2s::ModelConfig {
        let model = &self.model;
        s2s::ModelConfig {
            cell: match model.cell {
                Cell::Lstm => nn::CellKind::Lstm,
                Cell::Gru => nn::CellKind::Gru,
                Cell::Rnn => nn::CellKind::Rnn,
            },
            emb: model.emb as usize,
            hidden: model.hidden as usize,
            encoder: s2s::EncoderConfig {
                layers: model.encoder.layers as usize,
                bidirectional: model.encoder.bidirectional,
                residual: model.encoder.residual,
                dropout: model.encoder.dropout as f32,
            },
            decoder: s2s::DecoderConfig {
                layers: model.decoder.layers as usize,
                residual: model.decoder.residual,
                dropout: model.decoder.dropout as f32,
                input_feeding: model.decoder.input_feeding,
            },
            attention: match model.attention {
                Attention::None => nn::AttentionKind::None,
                Attention::Dot => nn::AttentionKind::Dot,
                Attention::ScaledDot => nn::AttentionKind::ScaledDot,
                Attention::General => nn::AttentionKind::General,
                Attention::Additive => nn::AttentionKind::Additive,
            },
            bridge: match model.bridge {
                Bridge::Zero => s2s::BridgeKind::Zero,
                Bridge::Copy => s2s::BridgeKind::Copy,
                Bridge::Dense => s2s::BridgeKind::Dense,
            },
            tie: match model.tie {
                Tie::None => s2s::Tie::None,
                Tie::Softmax => s2s::Tie::Softmax,
                Tie::All => s2s::Tie::All,
            },
            dropout: model.dropout as f32,
        }
    }

    /// The optimizer section, as `seqweave-nn` takes it.
    pub fn optimizer_config(&self) -> nn::OptimizerConfig {
        let optimizer = &self.train.optimizer;
        nn::OptimizerConfig {
            kind: match optimizer.kind {
                OptimizerKind::Adam => nn::OptimizerKind::Adam,
                OptimizerKind::Adamw => nn::OptimizerKind::Adamw,
                OptimizerKind::Sgd => nn::OptimizerKind::Sgd,
            },
            lr: optimizer.lr as f32,
            beta1: optimizer.beta1 as f32,
            beta2: optimizer.beta2 as f32,
            eps: optimizer.eps as f32,
            momentum: optimizer.momentum as f32,
            nesterov: optimizer.nesterov,
            weight_decay: optimizer.weight_decay as f32,
        }
    }

    /// The schedule section, as `seqweave-nn` takes it, for a run of `total_steps` steps.
    pub fn schedule_config(&self, total_steps: u64) -> nn::ScheduleConfig {
        let schedule = &self.train.schedule;
        nn::ScheduleConfig {
            kind: match schedule.kind {
                ScheduleKind::Constant => nn::ScheduleKind::Constant,
                ScheduleKind::InverseSqrt => nn::ScheduleKind::InverseSqrt,
                ScheduleKind::Plateau => nn::ScheduleKind::Plateau,
                ScheduleKind::Cosine => nn::ScheduleKind::Cosine,
            },
            warmup: schedule.warmup,
            factor: schedule.factor as f32,
            patience: schedule.patience as u32,
            min_lr: schedule.min_lr as f32,
            total: if schedule.total > 0 { schedule.total } else { total_steps },
        }
    }

    /// The decoding section, as `seqweave-seq2seq` takes it.
    pub fn search_options(&self) -> s2s::search::SearchOptions {
        let decode = &self.decode;
        s2s::search::SearchOptions {
            beam: decode.beam as usize,
            length_penalty: match decode.length_penalty {
                LengthPenalty::None => s2s::search::LengthPenalty::None,
                LengthPenalty::Average => s2s::search::LengthPenalty::Average,
                LengthPenalty::Gnmt(GnmtConfig { alpha }) => s2s::search::LengthPenalty::Gnmt { alpha },
            },
            coverage_penalty: decode.coverage_penalty,
            max_len: s2s::search::MaxLen { ratio: decode.max_len.ratio, add: decode.max_len.add as usize },
            ..s2s::search::SearchOptions::default()
        }
    }
}

fn corpus(corpus: &Corpus) -> SourceSpec {
    match corpus {
        Corpus::Tsv(path) => SourceSpec::Tsv { path: path.clone() },
        Corpus::Parallel(ParallelCorpus { src, tgt }) => SourceSpec::Parallel { src: src.clone(), tgt: tgt.clone() },
    }
}
