// A slip of the pen.
span_runtime::lifecycle!(static);

use span_runtime::transaction;

#[transaction(nam = "checkout", opp = "task", tag("plan" = "free"))]
fn checkout() {}

fn main() {
    checkout();
}
