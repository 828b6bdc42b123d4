//! Encoder, decoder, bridge, model and search for sequence-to-sequence learning.
