// A span ends once: `end` takes it.
use span_runtime::start_span;

fn main() {
    let span = start_span("work").start();
    span.end();
    span.end();
}
