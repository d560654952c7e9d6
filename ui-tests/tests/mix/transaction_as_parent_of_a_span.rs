// A span that streams cannot hang on a transaction.
use span_runtime::legacy::Transaction;
use span_runtime::start_span;

fn child_of(transaction: &Transaction) {
    start_span("child").parent(transaction).start().end();
}

fn main() {
    let _ = child_of;
}
