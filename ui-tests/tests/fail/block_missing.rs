span_runtime::lifecycle!(stream);

fn load(order: u64) -> u64 {
    span!("load", "order" = order);
    order
}

fn main() {
    load(1);
}
