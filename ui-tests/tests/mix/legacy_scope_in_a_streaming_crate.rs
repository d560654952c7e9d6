// The scope of the legacy API, where the crate said that it streams.
span_runtime::lifecycle!(stream);

fn main() {
    span_runtime::legacy::configure_scope(|scope| scope.span());
}
