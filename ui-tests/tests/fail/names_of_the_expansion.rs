// What the expansion calls its variables cannot be seen from outside of it.
use span_runtime::prelude::*;

span_runtime::lifecycle!(stream);

#[span]
fn load() -> bool {
    drop(__span_held);
    true
}

fn main() {
    load();
    span!("block", {
        drop(__span_held);
    });
}
