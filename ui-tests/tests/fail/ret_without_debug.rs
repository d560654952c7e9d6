use span_runtime::prelude::*;

struct Order;

#[span(ret)]
fn load(_order: u64) -> Order {
    Order
}

fn main() {
    load(1);
}
