//! The programs are beside this folder.
#![forbid(unsafe_code)]
