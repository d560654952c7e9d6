// A crate has one lifecycle.
span_runtime::lifecycle!(stream);
span_runtime::lifecycle!(static);

fn main() {}
