use span_runtime::prelude::*;

#[span]
struct Order;

fn main() {
    let _ = Order;
}
