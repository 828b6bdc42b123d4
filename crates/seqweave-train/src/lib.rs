//! The training loop: configuration, schedules, validation, checkpoints, exact resume.
