// A value of one's own is recorded by what it displays, or by its parts.
use span_runtime::current_span;

#[derive(Debug)]
struct Order {
    _id: u64,
}

fn main() {
    current_span().set_attribute("order", Order { _id: 1 });
}
