use span_runtime::prelude::*;

#[span(args(self))]
fn load(order: u64) -> u64 {
    order
}

fn main() {
    load(1);
}
