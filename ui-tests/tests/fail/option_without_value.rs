use span_runtime::prelude::*;

#[span(name)]
fn load(order: u64) -> u64 {
    order
}

fn main() {
    load(1);
}
