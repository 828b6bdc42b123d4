//! Named parameters, layers, losses, optimizers and schedules.
