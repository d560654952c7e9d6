// A trace is carried by a future with `in_trace`.
use span_runtime::new_trace;

async fn work() {
    let trace = new_trace();
    let _in_trace = trace.enter();
    std::future::ready(()).await;
}

fn is_send<T: Send>(_: T) {}

fn main() {
    is_send(work());
}
