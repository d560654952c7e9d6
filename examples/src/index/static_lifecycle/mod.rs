//! The same run in the static lifecycle: one transaction, with a child span for everything that the run does.
//!
//! What has nothing to do with spans is shared with the streaming half. The rest stands twice, so that this folder can
//! be deleted.

mod passes;
mod walk;
mod work;

use span_runtime::testing::Span;

use super::console::Console;
pub(super) use passes::index;

/// The most child spans of a transaction.
const MOST_CHILDREN: usize = 1_000;

/// Says what an envelope held: its transaction first, then the children.
pub(super) fn print_transaction(spans: &[Span], console: &Console<'_>) {
    let Some((transaction, children)) = spans.split_first() else { return };
    let (name, count) = (&transaction.name, children.len());
    console.line(format_args!("           transaction {name} with {count} child spans"));
    if count >= MOST_CHILDREN {
        console.line(
            "           It takes no more. What finishes later is lost, and a pass finishes after all that it does.",
        );
    }
}
