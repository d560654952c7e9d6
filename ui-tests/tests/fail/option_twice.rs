use span_runtime::prelude::*;

#[span(name = "load", root, name = "again")]
fn load(order: u64) -> u64 {
    order
}

fn main() {
    load(1);
}
