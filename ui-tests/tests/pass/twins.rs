//! The passing twins of the cases in `fail/`.
use span_runtime::prelude::*;

span_runtime::lifecycle!(stream);

#[span(name = "load", attributes("sentry.op" = "db.query", "order" = order), source = "route")]
fn load(order: u64) -> u64 {
    span!("load", "order" = order, { order })
}

#[span(err, ret, args(order), inactive)]
async fn load_later(order: u64) -> Result<u64, std::num::ParseIntError> {
    let parsed: u64 = "1".parse()?;
    Ok(span!(<"load", "order" = order> async { std::future::ready(order).await }).await + parsed)
}

fn main() {
    load(1);
    drop(load_later(1));
}
