//! Text to ids to batches: tokenizers, vocabularies, corpora, bucketing, shuffling.
