// The error is at the user's line, in each kind of body.
use span_runtime::prelude::*;

#[span]
fn load(order: u64) -> u64 {
    "text"
}

#[span]
async fn load_later(order: u64) -> u64 {
    "text"
}

#[span]
async fn store_later(order: u64) {
    order
}

fn main() {
    load(1);
    drop((load_later(1), store_later(1)));
}
