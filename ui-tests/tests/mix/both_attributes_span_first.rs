// One function, two lifecycles.
span_runtime::lifecycle!(stream);

use span_runtime::{span, transaction};

#[span]
#[transaction(name = "checkout", op = "task")]
fn checkout() {}

fn main() {
    checkout();
}
