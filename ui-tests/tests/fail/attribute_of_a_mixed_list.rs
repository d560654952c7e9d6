// A list has values of one kind.
use span_runtime::start_span;

fn main() {
    start_span("work").attribute("mixed", [Some(1.5), None]).start().end();
}
