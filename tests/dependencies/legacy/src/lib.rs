//! A library that makes transactions. It knows nothing of the program that it is used in.
#![forbid(unsafe_code)]

span_runtime::lifecycle!(static);

use span_runtime::legacy::TransactionContext;
use span_runtime::{SpanId, transaction};

/// How many places in this file start a transaction.
pub const CALL_SITES: usize = 3;

/// Goes by every place but [`later`]'s once. What is returned is the sum of what the instrumented code computed, to show that it ran.
pub fn work() -> u32 {
    let transaction = legacy::start_transaction(TransactionContext::new("by hand", "test"));
    let _entered = transaction.enter();
    legacy::configure_scope(|scope| scope.set_span(&transaction));
    let child = transaction.start_child("test", "child");
    child.set_tag("a", 1);
    child.finish();
    let sum = annotated(1) + 2;
    transaction.finish();
    sum
}

#[transaction(name = "annotated", op = "test", tags("n" = n))]
fn annotated(n: u32) -> u32 {
    n
}

/// An annotated future.
#[transaction]
pub async fn later(n: u32) -> u32 {
    std::future::ready(n).await
}

/// The id of the current transaction or span.
pub fn current() -> Option<SpanId> {
    legacy::current_span().and_then(|current| current.span_id())
}
