// Nor can it where a macro takes the parent.
use span_runtime::legacy::Span;
use span_runtime::span;

#[span(parent = outer)]
fn child_of(outer: &Span) {
    let _ = outer;
}

fn main() {
    let _ = child_of;
}
