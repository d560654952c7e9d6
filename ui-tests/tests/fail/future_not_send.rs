// Only what the body holds decides whether the future is `Send`.
use std::rc::Rc;

use span_runtime::prelude::*;

#[span]
async fn load(order: Rc<u64>) -> u64 {
    std::future::ready(()).await;
    *order
}

fn assert_send<T: Send>(_: T) {}

fn main() {
    assert_send(load(Rc::new(1)));
}
