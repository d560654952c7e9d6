// What the option calls `stream` is called so here as well.
span_runtime::lifecycle!(streaming);

fn main() {}
