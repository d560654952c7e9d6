// The current span has the same words as any other.
use span_runtime::current_span;

fn main() {
    current_span().set_tag("plan", "free");
    current_span().handle().set_data("items", 3);
    current_span().start_child("db", "SELECT 1");
}
