//! What the measurements share: the workloads, the libraries that are measured.
#![forbid(unsafe_code)]

pub mod peers;
pub mod poll;
pub mod workload;
