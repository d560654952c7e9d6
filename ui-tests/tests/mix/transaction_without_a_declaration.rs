// Without a declaration a crate streams.
use span_runtime::transaction;

#[transaction(name = "checkout", op = "task")]
async fn checkout() {}

fn main() {
    drop(checkout());
}
