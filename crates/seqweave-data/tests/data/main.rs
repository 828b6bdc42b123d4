//! Tests through the public interface: faulty corpora, properties, configuration, the way from file to batch.

mod config;
mod corpora;
mod faults;
mod properties;
mod shards;
mod unspaced;
