//! Streams that carry a span. (behaviour 17)

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;

use super::Span;
use super::carry::{Carried, What};

/// Lets streams carry a span.
pub trait InstrumentStream: Stream + Sized {
    /// Carries a span: it is current whenever the stream is polled, and ends when the stream ends or is dropped. A stream that
    /// is dropped before its end marks its span with `span.cancelled`.
    fn in_span(self, span: Span) -> InSpanStream<Self> {
        InSpanStream { stream: Some(self), carried: Carried::new(What::Span(span)) }
    }
}

impl<S: Stream> InstrumentStream for S {}

pin_project! {
    /// A stream that carries a span; made by [`InstrumentStream::in_span`].
    #[must_use = "streams do nothing unless polled"]
    pub struct InSpanStream<S> {
        #[pin]
        stream: Option<S>,
        carried: Carried,
    }

    impl<S> PinnedDrop for InSpanStream<S> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.stream.is_some() {
                let attached = this.carried.attach();
                this.stream.set(None);
                drop(attached);
                this.carried.cancel();
            }
        }
    }
}

impl<S: Stream> Stream for InSpanStream<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.project();
        let attached = this.carried.attach();
        let polled = match this.stream.as_mut().as_pin_mut() {
            Some(stream) => stream.poll_next(context),
            None => Poll::Ready(None),
        };
        let ended = matches!(polled, Poll::Ready(None));
        if ended {
            this.stream.set(None);
        }
        drop(attached);
        if ended {
            this.carried.end();
        }
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.as_ref().map_or((0, Some(0)), Stream::size_hint)
    }
}

impl<S> fmt::Debug for InSpanStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InSpanStream").field("carried", &self.carried).finish_non_exhaustive()
    }
}
