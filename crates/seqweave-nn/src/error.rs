//! What can go wrong in layers, parameters and optimizers.

use seqweave_tensor::Shape;

/// An error of this crate; tensor and tape errors pass through unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation on tensors failed.
    #[error(transparent)]
    Tensor(#[from] seqweave_tensor::Error),
    /// Recording or replaying a tape failed.
    #[error(transparent)]
    Autograd(#[from] seqweave_autograd::Error),
    /// Two layers asked for a parameter of the same name.
    #[error(
        "parameter `{name}` is defined twice\nhelp: give each layer a scope of its own with `Scope::sub`"
    )]
    DuplicateParam {
        /// The full dotted name.
        name: String,
    },
    /// A parameter name that is not in the table.
    #[error("there is no parameter `{name}`; the model has {count} parameters, the first is `{first}`")]
    UnknownParam {
        /// The name, or `#n` for a `ParamId` of another model.
        name: String,
        /// Number of parameters of the model.
        count: usize,
        /// The first name of the table, as an example of the naming.
        first: String,
    },
    /// A pattern of parameter names that no parameter has.
    #[error("the pattern `{pattern}` fits no parameter; their names are {}", names.join(", "))]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The names there are.
        names: Vec<String>,
    },
    /// A model does not fit into the memory of its device.
    #[error(
        "a model of {parameters} parameters needs {:.2} GB of memory, {:.2} GB are available\n\
         help: make `hidden`, `emb`, the number of layers or the vocabulary smaller, or free memory",
        *needed as f64 / 1e9,
        *available as f64 / 1e9
    )]
    TooLarge {
        /// Number of scalar parameters.
        parameters: usize,
        /// Memory that they take for what was asked, in bytes.
        needed: u64,
        /// Memory there is, in bytes.
        available: u64,
    },
    /// Values for a parameter do not fit its shape.
    #[error("parameter `{name}`: expected {expected} values for shape {shape}, found {found}")]
    ParamLength {
        /// The full dotted name.
        name: String,
        /// Shape of the parameter.
        shape: Shape,
        /// Number of elements of that shape.
        expected: usize,
        /// Number of values given.
        found: usize,
    },
    /// An initialisation that its parameter's shape does not admit.
    #[error("parameter `{name}` of shape {shape}: {init} needs {expected}")]
    Init {
        /// The full dotted name.
        name: String,
        /// Shape of the parameter.
        shape: Shape,
        /// The initialisation, as written in source.
        init: String,
        /// What it needs.
        expected: &'static str,
    },
    /// The parameter buffer cannot be written while views of it are alive.
    #[error(
        "the parameters are still in use by {others} tensor(s), such as the variables of a tape\n\
         help: drop the tape, its variables and every view of a parameter before the optimizer writes"
    )]
    ParamsInUse {
        /// Number of other owners of the buffer.
        others: usize,
    },
    /// A gradient holds an infinity or a NaN; nothing was updated.
    #[error(
        "the gradient of `{name}` is not finite; nothing was updated\nhelp: skip this batch or lower the learning rate"
    )]
    NonFiniteGradient {
        /// The first parameter with such a gradient.
        name: String,
    },
    /// A loss is infinite or NaN; nothing was updated.
    #[error("the loss is not finite; nothing was updated\nhelp: skip this batch or lower the learning rate")]
    NonFiniteLoss,
    /// The square of a gradient overflows; nothing was updated.
    #[error(
        "the gradient is too large: its norm is {norm:e} and its square overflows; nothing was updated\n\
         help: clip the norm, skip this batch or lower the learning rate"
    )]
    GradientTooLarge {
        /// The norm.
        norm: f64,
    },
    /// A configuration value outside its range.
    #[error("{field}: expected {expected}, found {found}")]
    Config {
        /// The field, as in a configuration file.
        field: &'static str,
        /// The allowed values, in words.
        expected: &'static str,
        /// The value found.
        found: String,
    },
    /// Saved state that belongs to another optimizer, schedule or model.
    #[error(
        "saved {what}: expected {expected}, found {found}\nhelp: go on with the configuration that it was saved with"
    )]
    SavedState {
        /// Which part of the state.
        what: &'static str,
        /// What this object needs.
        expected: String,
        /// What the state holds.
        found: String,
    },
    /// A recurrent state that does not belong to the layer.
    #[error("recurrent state: expected {expected}, found {found}")]
    State {
        /// What the layer needs.
        expected: String,
        /// What came.
        found: String,
    },
    /// An attention layer of kind `none` was asked to attend.
    #[error("this model has no attention (kind `none`)\nhelp: check `Attention::kind` before attending")]
    NoAttention,
}

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;
