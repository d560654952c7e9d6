// The scope of the legacy API takes transactions and their children.
span_runtime::lifecycle!(static);

fn make_current(span: span_runtime::SpanHandle) {
    legacy::configure_scope(|scope| scope.set_span(span));
}

fn main() {
    let _ = make_current;
}
