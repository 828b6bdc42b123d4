//! What can go wrong while recording or replaying a tape.

use seqweave_tensor::Shape;

/// An error of this crate; tensor errors pass through unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation on tensors failed: a shape, an index, an allocation.
    #[error(transparent)]
    Tensor(#[from] seqweave_tensor::Error),
    /// Two inputs of one operation were recorded on different tapes.
    #[error(
        "the inputs of an operation belong to two tapes, expected one\nhelp: record the whole loss on one `Tape`"
    )]
    MixedTapes,
    /// The variable handed to `backward` (or returned to a gradient check) is not a single number.
    #[error(
        "a loss must hold one number: expected shape [1], found {found}\nhelp: reduce it with `sum` or `mean` first"
    )]
    NotScalar {
        /// Shape of the offending variable.
        found: Shape,
    },
    /// The loss does not depend on anything this tape has seen.
    #[error(
        "the loss is not on this tape, expected a variable recorded from its leaves or parameters\nhelp: look for a loss that is computed from constants only"
    )]
    NotOnTape,
    /// The tape was replayed already, and replaying frees its nodes.
    #[error("this tape was consumed by `backward`\nhelp: make a new `Tape` for the next step")]
    TapeConsumed,
    /// A parameter is on the tape, but `backward` was given no buffer for its gradient.
    #[error(
        "a parameter at offset {offset} has no gradient buffer\nhelp: pass `Some(&mut gradients)` to `backward`"
    )]
    NoFlatBuffer {
        /// Offset of the parameter in the flat buffer.
        offset: usize,
    },
    /// A rule handed over a gradient whose shape is not that of its input.
    #[error(
        "a rule gave a gradient of shape {found} for input {input}, expected {expected}\nhelp: correct the rule"
    )]
    GradientShape {
        /// Position of the input in the rule's list.
        input: usize,
        /// Shape of the input.
        expected: Shape,
        /// Shape of the gradient.
        found: Shape,
    },
}

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;
