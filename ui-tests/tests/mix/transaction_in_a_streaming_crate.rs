// The attribute of the legacy API, where the crate said that it streams.
span_runtime::lifecycle!(stream);

use span_runtime::transaction;

#[transaction(name = "checkout", op = "task")]
fn checkout() {}

fn main() {
    checkout();
}
