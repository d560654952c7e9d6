// Options of `#[span]` on `#[transaction]`.
span_runtime::lifecycle!(static);

use span_runtime::transaction;

#[transaction(name = "checkout", attributes("items" = 3), root, args(order))]
fn checkout(order: u64) -> u64 {
    order
}

fn main() {
    checkout(1);
}
