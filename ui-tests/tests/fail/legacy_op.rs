use span_runtime::prelude::*;

#[span(op = "db.query")]
fn load(order: u64) -> u64 {
    order
}

fn main() {
    load(1);
}
