use span_runtime::prelude::*;

#[span(tags("order" = order), data("order" = order))]
fn load(order: u64) -> u64 {
    order
}

fn main() {
    load(1);
}
