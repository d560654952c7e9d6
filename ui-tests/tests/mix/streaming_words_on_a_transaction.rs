// The other way round: words of the streaming API on a transaction.
use span_runtime::legacy::{Span, Transaction};

fn work(transaction: &Transaction, child: Span) {
    transaction.set_attribute("items", 3);
    child.end();
}

fn main() {
    let _ = work;
}
