// So does the current span.
use span_runtime::current_span;

fn main() {
    let span = current_span();
    std::thread::spawn(move || span.set_attribute("a", 1));
}
