//! Model folders and the Translator: the five-line use of a trained model.
