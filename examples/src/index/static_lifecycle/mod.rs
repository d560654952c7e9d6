//! The same run in the static lifecycle: one transaction, with a child span for everything that the run does. (`legacy`)
//!
//! What has nothing to do with spans is shared with the streaming half; the rest stands twice, so that this folder can be
//! deleted.

mod passes;
mod walk;
mod work;

pub(super) use passes::index;
