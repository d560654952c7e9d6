use span_runtime::prelude::*;

#[span(parent = None, root)]
fn load(order: u64) -> u64 {
    order
}

fn main() {
    load(1);
}
