// Words of the legacy API before the start.
use span_runtime::start_span;

fn main() {
    start_span("checkout").op("task").start().end();
    start_span("checkout").description("the checkout").start().end();
    start_span("checkout").tag("plan", "free").data("items", 3).start().end();
    start_span("checkout").inactive().tags([("plan", "free")]).start().end();
}
