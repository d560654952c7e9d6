// What has not started cannot be ended.
use span_runtime::start_span;

fn main() {
    start_span("work").end();
}
