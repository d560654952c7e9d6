// One function, two lifecycles.
span_runtime::lifecycle!(static);

#[span_runtime::transaction(name = "checkout", op = "task")]
#[span_runtime::span]
fn checkout() {}

fn main() {
    checkout();
}
