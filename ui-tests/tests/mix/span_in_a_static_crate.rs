// The attribute of the streaming API, where the crate said that it makes transactions.
span_runtime::lifecycle!(static);

use span_runtime::span;

#[span(name = "load")]
fn load() {}

fn main() {
    load();
}
