//! Nothing is here: the cases are in `tests/`.
#![forbid(unsafe_code)]
