//! Edit distance, word and phoneme error rate, accuracy, perplexity.
