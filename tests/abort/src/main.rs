//! A program that panics where a panic aborts: `tests/tests/ends.rs` builds it with `-C panic=abort`, and runs it.
#![forbid(unsafe_code)]

use std::time::Duration;
use std::{env, mem, panic};

use span_runtime::{Options, init, start_span};

const SOON: Duration = Duration::from_secs(20);

fn main() {
    let dsn = env::var("ENDS_DSN").expect("the receiver's DSN");
    let _guard = init(Options::new().dsn(dsn).traces_sample_rate(1.0)).expect("the options are valid");
    if env::args().nth(1).as_deref() == Some("flush") {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            span_runtime::flush(SOON);
            told(panic);
        }));
    }
    mem::forget(start_span("root").start());
    start_span("before the panic").start().end();
    let _open = start_span("around the panic").start();
    panic!("as it was asked to");
}
