// The passing twins of the cases in `mix/`: transactions, in a crate that said so.
span_runtime::lifecycle!(static);

use legacy::{InScope as _, Span, SpanStatus, Transaction, TransactionContext};
use span_runtime::{Options, transaction};

#[transaction(name = "checkout", op = "task", tags("plan" = "free"), data("items" = items))]
fn checkout(items: u64) -> u64 {
    let child = legacy::current_span().map(|current| current.start_child("price", "price"));
    let price = items * 4;
    if let Some(child) = child {
        child.set_tag("plan", "free");
        child.set_data("items", items);
        child.finish();
    }
    price
}

#[transaction]
async fn checkout_later(items: u64) -> Result<u64, String> {
    std::future::ready(Ok(items)).await
}

fn child_of(outer: &Span, transaction: &Transaction) {
    outer.start_child("db", "SELECT 1").finish();
    transaction.set_status(SpanStatus::Ok);
    legacy::configure_scope(|scope| scope.set_span(transaction));
}

fn main() {
    let _guard = legacy::init(Options::new());
    checkout(3);
    drop(checkout_later(3));
    let transaction = legacy::start_transaction(TransactionContext::new("checkout", "task"));
    child_of(&transaction.start_child("a", "b"), &transaction);
    drop(std::future::ready(()).in_scope(&transaction));
    transaction.finish();
}
