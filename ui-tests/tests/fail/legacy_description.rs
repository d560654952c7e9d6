use span_runtime::prelude::*;

#[span(description = "load an order")]
fn load(order: u64) -> u64 {
    order
}

fn main() {
    load(1);
}
