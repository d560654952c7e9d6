//! Futures that carry a span or a context. (behaviours 8, 12)

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::carry::{Carried, What};
use super::{InTrace, Span, TraceScope, Unstarted};
use crate::private::Outcome;

/// Lets futures carry a span, so that it is current whenever they are polled, on whatever thread.
///
/// ```
/// use span_runtime::{Instrument, start_span};
///
/// # async fn fetch() {}
/// # async fn example() {
/// fetch().in_span(start_span("fetch").inactive().start()).await;
///
/// // A task has no current span of its own: give it the one it was spawned in.
/// # #[cfg(any())]
/// tokio::spawn(fetch().in_current_span());
/// # }
/// ```
pub trait Instrument: Future + Sized {
    /// Carries a span: it is current during each poll, and ends when the future completes or is dropped.
    ///
    /// A future that is dropped before it completes marks its span with `span.cancelled`. Whether the output is an error is
    /// not looked at; `#[span]` and `span!` do that.
    fn in_span(self, span: Span) -> InSpan<Self> {
        instrument(span, self, |_, _| {})
    }

    /// Carries what is current where this is called, a span or a trace or a runtime, without a span of its own: for
    /// `spawn` and its kin.
    fn in_current_span(self) -> InContext<Self> {
        InContext { future: Some(self), carried: Carried::new(What::current()) }
    }

    /// Carries a trace: segments that start in the future belong to it.
    fn in_trace(self, trace: TraceScope) -> InTrace<Self> {
        super::scope::in_trace(self, trace)
    }
}

impl<F: Future> Instrument for F {}

/// Carries a span, and looks at the output before the span ends.
pub(crate) fn instrument<F: Future>(span: Span, future: F, outcome: fn(&mut Outcome<'_>, &F::Output)) -> InSpan<F> {
    InSpan { future: Some(future), carried: Carried::new(What::Span(span)), outcome }
}

/// The same for a span that starts at the first poll.
pub(crate) fn instrument_unstarted<F: Future>(
    unstarted: Unstarted,
    future: F,
    outcome: fn(&mut Outcome<'_>, &F::Output),
) -> InSpan<F> {
    InSpan { future: Some(future), carried: Carried::new(What::Unstarted(unstarted)), outcome }
}

/// The same as [`instrument`], without making the span current.
pub(crate) fn instrument_inactive<F: Future>(
    span: Span,
    future: F,
    outcome: fn(&mut Outcome<'_>, &F::Output),
) -> InSpan<F> {
    InSpan { future: Some(future), carried: Carried::new(What::Inactive(span)), outcome }
}

pin_project! {
    /// A future that carries a span; made by [`Instrument::in_span`].
    #[must_use = "futures do nothing unless polled"]
    pub struct InSpan<F: Future> {
        #[pin]
        future: Option<F>,
        carried: Carried,
        outcome: fn(&mut Outcome<'_>, &F::Output),
    }

    impl<F: Future> PinnedDrop for InSpan<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                if this.carried.is_unstarted() {
                    // It was never polled: there is no span.
                    this.future.set(None);
                    return;
                }
                // What the future holds is dropped inside of its span.
                let attached = this.carried.attach();
                this.future.set(None);
                drop(attached);
                this.carried.cancel();
            }
        }
    }
}

impl<F: Future> Future for InSpan<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let mut attached = this.carried.attach();
        let polled = match this.future.as_mut().as_pin_mut() {
            Some(future) => future.poll(context),
            // Polled after it completed, which no executor does.
            None => Poll::Pending,
        };
        if let Poll::Ready(output) = &polled {
            this.future.set(None);
            attached.with_outcome(|outcome| (this.outcome)(outcome, output));
            attached.end();
        }
        polled
    }
}

impl<F: Future> fmt::Debug for InSpan<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InSpan").field("carried", &self.carried).finish_non_exhaustive()
    }
}

pin_project! {
    /// A future that carries the span that was current where it was made; made by [`Instrument::in_current_span`].
    #[must_use = "futures do nothing unless polled"]
    pub struct InContext<F> {
        #[pin]
        future: Option<F>,
        carried: Carried,
    }

    impl<F> PinnedDrop for InContext<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                let _attached = this.carried.attach();
                this.future.set(None);
            }
        }
    }
}

impl<F: Future> Future for InContext<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let _attached = this.carried.attach();
        match this.future.as_mut().as_pin_mut() {
            Some(future) => {
                let polled = future.poll(context);
                if polled.is_ready() {
                    this.future.set(None);
                }
                polled
            }
            None => Poll::Pending,
        }
    }
}

impl<F> InContext<F> {
    pub(super) fn carrying(future: F, what: What) -> Self {
        InContext { future: Some(future), carried: Carried::new(what) }
    }
}

impl<F> fmt::Debug for InContext<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InContext").field("carried", &self.carried).finish_non_exhaustive()
    }
}
