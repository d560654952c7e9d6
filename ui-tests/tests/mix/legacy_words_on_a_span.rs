// A child is started by what the child is, not by its parent.
use span_runtime::start_span;

fn main() {
    let span = start_span("checkout").inactive().start();
    let child = span.start_child("db", "SELECT 1");
    child.finish();
    span.finish();
}
