// A span inside of a transaction: it would be sent before the transaction, and belong to none.
span_runtime::lifecycle!(static);

use span_runtime::transaction;

#[transaction(name = "checkout", op = "task")]
fn checkout() -> u32 {
    span!("price", { 12 })
}

fn main() {
    checkout();
}
