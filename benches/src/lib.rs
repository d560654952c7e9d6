//! What the measurements share: the workloads, the libraries that are measured.
#![forbid(unsafe_code)]

pub mod callgrind;
mod envelope;
pub mod layers;
pub mod peers;
pub mod poll;
pub mod workload;
