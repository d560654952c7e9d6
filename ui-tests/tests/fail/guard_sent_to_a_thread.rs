// A guard stays on its thread; a handle goes anywhere.
use span_runtime::start_span;

fn main() {
    let span = start_span("work").start();
    std::thread::spawn(move || span.end());
}
