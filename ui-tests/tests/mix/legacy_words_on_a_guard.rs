// Words of the legacy API, typed by habit.
use span_runtime::start_span;

fn main() {
    let span = start_span("checkout").start();
    span.set_op("task");
    span.set_description("the checkout");
    span.set_tag("plan", "free");
    span.set_data("items", 3);
    span.set_transaction_name("checkout");
    span.finish();
}
