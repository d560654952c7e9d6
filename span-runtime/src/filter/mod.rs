//! Which spans are not to be recorded, and which hosts are told of a trace. (behaviours 28, 35)

mod pattern;
mod rule;

pub use pattern::Pattern;
pub(crate) use pattern::{Matcher, Where};
pub use rule::IgnoreRule;
pub(crate) use rule::IgnoreRules;
