// A future that carries a transaction cannot carry a span that streams.
span_runtime::lifecycle!(static);

use legacy::InScope;

async fn carried(span: &span_runtime::Span) {
    std::future::ready(()).in_scope(span).await;
}

fn main() {
    let _ = carried;
}
