//! Models of the hand-over: loom runs each in every order that its threads can take, and with every value that a load may see.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test -p span-runtime --release --lib hand_over::models
//! ```

pub(super) mod stand_ins;
