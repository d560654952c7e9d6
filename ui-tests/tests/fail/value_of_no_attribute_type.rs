use span_runtime::prelude::*;

struct Order(u64);

#[span(attributes("order.id" = &order.0, "whole" = order), args(order))]
fn load(order: Order) -> u64 {
    order.0
}

fn main() {
    load(Order(1));
}
