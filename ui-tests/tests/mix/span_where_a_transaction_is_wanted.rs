// A function that takes a transaction takes nothing else.
use span_runtime::legacy::Transaction;
use span_runtime::start_span;

fn pay(_transaction: &Transaction) {}

fn main() {
    let span = start_span("checkout").start();
    pay(&span);
}
