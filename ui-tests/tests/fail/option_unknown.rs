use span_runtime::prelude::*;

#[span(nam = "load")]
fn load(order: u64) -> u64 {
    order
}

fn main() {
    load(1);
}
