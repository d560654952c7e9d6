use span_runtime::prelude::*;

#[span(attributes("order" = 1), args(order))]
fn load(order: u64) -> u64 {
    order
}

fn main() {
    load(1);
}
