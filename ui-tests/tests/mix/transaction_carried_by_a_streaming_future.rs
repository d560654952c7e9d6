// A future that carries a span cannot carry a transaction.
use span_runtime::Instrument;
use span_runtime::legacy::Transaction;

async fn carried(transaction: Transaction) {
    std::future::ready(()).in_span(transaction).await;
}

fn main() {
    let _ = carried;
}
