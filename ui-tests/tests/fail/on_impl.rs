use span_runtime::prelude::*;

struct Order;

#[span]
impl Order {
    fn load() {}
}

fn main() {
    Order::load();
}
