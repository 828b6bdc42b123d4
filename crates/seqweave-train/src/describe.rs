//! The model and the machine of a run in words, for its log.

use crate::config::Config;
use seqweave_tensor::machine;

/// The model in one line: `LSTM 1×256 bi → LSTM 1×256, attention general`.
pub(crate) fn describe(config: &Config) -> String {
    let model = &config.model;
    let (encoder, decoder) = (&model.encoder, &model.decoder);
    let cell = format!("{:?}", model.cell).to_uppercase();
    let attention = serde_json::to_value(model.attention).unwrap_or_default();
    format!(
        "{cell} {}×{}{} → {cell} {}×{}{}, attention {}",
        encoder.layers,
        model.hidden,
        if encoder.bidirectional { " bidirectional" } else { "" },
        decoder.layers,
        model.hidden,
        if decoder.input_feeding { " with input feeding" } else { "" },
        attention.as_str().unwrap_or_default(),
    )
}

/// The machine in one line: `linux x86_64, 8 cores, AVX-512 products`.
pub(crate) fn describe_machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (system, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("{system} {processor}, {cores} cores, matrix products by {}", machine::matrix_kernels())
}
