use span_runtime::prelude::*;

#[span(stream)]
async fn load(order: u64) -> u64 {
    order
}

fn main() {
    drop(load(1));
}
