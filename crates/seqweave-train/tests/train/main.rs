//! Whole training runs on toy tasks: they learn, stop, resume, refuse, and survive what disks and numbers do.

mod averaging;
mod choosing;
mod disk;
mod events;
mod faults;
mod learning;
mod measuring;
mod resume;
mod shards;
mod starting;
mod task;
