// While the task waits, other tasks run on the thread, and the guard would make its span theirs.
use span_runtime::start_span;

async fn work() {
    let _span = start_span("work").start();
    std::future::ready(()).await;
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.spawn(work());
}
