// There is a `current_span` in each API.
span_runtime::lifecycle!(stream);

use span_runtime::legacy::current_span;

fn main() {
    current_span();
}
