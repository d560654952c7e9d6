//! What the modules have in common: how their spans begin, what goes out with a request, how their futures are watched.
#![allow(dead_code, unused_imports, reason = "each module uses some of it, and any of them can be built alone")]

mod db;
pub(crate) mod error;
#[cfg(any(feature = "reqwest", feature = "tower"))]
mod exchange;
mod grpc;
mod http;
mod served;
mod url;
mod work;

use std::borrow::Cow;
use std::fmt::Display;
use std::future::Future;

use span_runtime::{
    Context, CurrentSpan, Instrument as _, Parent, Span, SpanBuilder, Status, current_span, display, names, start_span,
};

pub(crate) use db::Database;
#[cfg(feature = "tower")]
pub use exchange::SpanBody;
#[cfg(any(feature = "reqwest", feature = "tower"))]
pub(crate) use exchange::{Exchange, Protocol, Side, carry};
pub(crate) use http::{name_of_request, outgoing, status_of_http};
pub(crate) use served::{Asked, Head};
pub(crate) use url::{Url, server_of};
pub(crate) use work::Work;

/// Begins a span for a part of something, such as a query or a request that goes out: a child of the current span, and outside of
/// any it records nothing.
pub(crate) fn child(name: impl Into<Cow<'static, str>>, op: &'static str, origin: &'static str) -> SpanBuilder {
    begin(name, op, origin).parent(Parent::ONLY_CURRENT)
}

/// What stands for a span where nothing is current, and nobody has to look at what it would have told.
pub(crate) fn nothing() -> SpanBuilder {
    start_span("").parent(Parent::ONLY_CURRENT)
}

/// Begins a span for what begins work, such as a request or a message that came in: a segment of the trace that is entered, or of a new
/// one; inside of another span a child of it.
///
/// `source` says where the name is from: `route`, `url`, `task`, ...
pub(crate) fn segment(
    name: impl Into<Cow<'static, str>>,
    op: &'static str,
    origin: &'static str,
    source: &str,
) -> SpanBuilder {
    begin(name, op, origin).source(source)
}

fn begin(name: impl Into<Cow<'static, str>>, op: &'static str, origin: &'static str) -> SpanBuilder {
    start_span(name).attribute(names::OP, op).attribute(names::ORIGIN, origin)
}

/// Runs a future in a span, and shows the span and the output to `look` before the span ends, if the span is recorded.
///
/// Dropped before it completes, it marks the span with `span.cancelled`; a panic in it makes the span an error. `look` is called in
/// neither case.
pub(crate) async fn observe<F: Future>(
    span: Span,
    future: F,
    look: impl FnOnce(&CurrentSpan, &F::Output),
) -> F::Output {
    // What is current behind a span that records nothing is another one.
    let is_recorded = span.is_sampled();
    let watched = async move {
        let output = future.await;
        if is_recorded {
            look(&current_span(), &output);
        }
        output
    };
    watched.in_span(span).await
}

/// Makes a closure that runs with what is current here, wherever it is called.
pub(crate) fn in_current_span<R>(f: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let here = Context::current();
    move || here.run(f)
}

/// The status of what ended with this result.
pub(crate) fn status_of<T, E>(result: &Result<T, E>) -> Status {
    if result.is_ok() { Status::Ok } else { Status::Error }
}

/// Makes the span an error of this kind, if it is one.
///
/// The error's text is not recorded: it may quote what it was given. The module `error` does that where it is asked to.
pub(crate) fn fail(span: &CurrentSpan, kind: impl Display) {
    span.set_status(Status::Error);
    span.set_attribute(names::ERROR_TYPE, display(&kind));
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use span_runtime::testing::{CaptureTransport, Tree};
    use span_runtime::{Options, Runtime, start_span};

    use super::*;

    /// What `f` makes, as text.
    fn made(f: impl FnOnce()) -> String {
        let transport = CaptureTransport::new();
        let options = Options::new().transport(transport.clone()).traces_sample_rate(1.0);
        let runtime = Runtime::new(options).expect("the options are valid");
        let entered = runtime.enter();
        f();
        drop(entered);
        assert!(runtime.flush(span_tests::SOON), "everything is sent in time");
        Tree::new(&transport.spans()).attributes(&[names::OP, names::ORIGIN, names::ERROR_TYPE]).to_string()
    }

    #[test]
    fn a_child_outside_of_any_span_records_nothing_and_a_segment_does() {
        let text = made(|| {
            child("SELECT 1", "db", "auto.db.none").start().end();
            let request = segment("GET /", "http.server", "auto.http.none", "route").start();
            child("SELECT 2", "db", "auto.db.none").start().end();
            request.end();
        });
        let expected = "\
            GET / sentry.op=\"http.server\" sentry.origin=\"auto.http.none\"\n  \
            SELECT 2 sentry.op=\"db\" sentry.origin=\"auto.db.none\"\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_output_is_looked_at_inside_of_the_span() {
        let text = made(|| {
            let span = start_span("work").inactive().start();
            let work = observe(span, std::future::ready(Err::<Infallible, _>(7)), |span, output| {
                assert_eq!(span.name().as_deref(), Some("work"));
                span.set_status(status_of(output));
                fail(span, "timeout");
            });
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(std::pin::pin!(work).poll(&mut context).is_ready());
        });
        assert_eq!(text, "work [error] sentry.origin=\"manual\" error.type=\"timeout\"\n");
    }

    #[test]
    fn an_output_without_a_span_is_not_told_of_the_span_around() {
        let text = made(|| {
            let nothing = child("SELECT 1", "db", "auto.db.none").inactive().start();
            let work = observe(nothing, std::future::ready(()), |span, ()| span.set_status(Status::Error));
            let _around = start_span("around").start();
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(std::pin::pin!(work).poll(&mut context).is_ready());
        });
        assert_eq!(text, "around sentry.origin=\"manual\"\n");
    }
}
