// A call of the legacy API from within a span of the streaming one.
span_runtime::lifecycle!(stream);

use span_runtime::legacy::{TransactionContext, start_transaction};
use span_runtime::span;

#[span(name = "checkout")]
fn checkout() {
    let transaction = start_transaction(TransactionContext::new("checkout", "task"));
    transaction.finish();
}

fn main() {
    checkout();
}
