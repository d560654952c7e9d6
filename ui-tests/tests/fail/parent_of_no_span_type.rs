use span_runtime::prelude::*;

#[span(parent = order)]
fn load(order: u64) -> u64 {
    order
}

fn main() {
    load(1);
}
