// A guard of the legacy scope belongs to its thread, too.
span_runtime::lifecycle!(static);

use legacy::Transaction;

async fn work(transaction: Transaction) {
    let _current = transaction.enter();
    std::future::ready(()).await;
}

fn is_send<T: Send>(_: T) {}

fn main() {
    let _ = |transaction| is_send(work(transaction));
}
