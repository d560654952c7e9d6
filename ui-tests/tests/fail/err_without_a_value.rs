use span_runtime::prelude::*;

#[span(err)]
fn load(_order: u64) {}

fn main() {
    load(1);
}
