use span_runtime::prelude::*;

#[span(name = "", op = "db", sourc = "route", inactive, inactive, args(amount))]
fn load(order: u64) -> u64 {
    order
}

fn main() {
    // The function is still there: this call is no second error.
    load(1);
}
