//! Whole training runs on toy tasks: they learn, stop, resume, refuse, and survive what disks and numbers do.

mod disk;
mod events;
mod faults;
mod learning;
mod measuring;
mod resume;
mod task;
