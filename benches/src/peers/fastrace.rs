//! fastrace, with a reporter that counts.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrace::collector::{Config, Reporter};
use fastrace::future::FutureExt as _;
use fastrace::prelude::{LocalSpan, Span, SpanContext, SpanRecord};

use super::{Peer, VERIFIED};
use crate::poll::{PendingOnce, to_completion};
use crate::workload::{OWNED, Shape};

#[derive(Debug, Default, Clone)]
struct Counting {
    spans: Arc<AtomicU64>,
    misplaced: Arc<AtomicU64>,
}

impl Reporter for Counting {
    fn report(&mut self, spans: Vec<SpanRecord>) {
        self.spans.fetch_add(spans.len() as u64, Ordering::Relaxed);
        if spans.len() == VERIFIED + 1 {
            let root = spans.iter().find(|span| span.name == "request").map(|span| span.span_id);
            let misplaced = spans.iter().filter(|span| span.name != "request" && Some(span.parent_id) != root).count();
            self.misplaced.fetch_add(misplaced as u64, Ordering::Relaxed);
        }
    }
}

/// fastrace.
#[derive(Debug, Default)]
pub(super) struct Fastrace {
    counting: Counting,
}

#[fastrace::trace(name = "child")]
#[inline(never)]
fn annotated(child: usize) -> usize {
    child
}

fn nested(depth: usize) {
    if depth > 0 {
        let _span = LocalSpan::enter_with_local_parent("child");
        nested(depth - 1);
    }
}

impl Peer for Fastrace {
    fn name(&self) -> &'static str {
        "fastrace"
    }

    fn install(&mut self) {
        fastrace::set_reporter(self.counting.clone(), Config::default());
    }

    fn knows(&self, shape: Shape) -> bool {
        // It is installed or it is not; there is no other switch.
        !matches!(shape, Shape::Off(_) | Shape::Eight(_))
    }

    fn request(&self, shape: Shape) {
        let context = SpanContext::random().sampled(!matches!(shape, Shape::Unsampled(_)));
        // Where nothing is current there is no root either.
        let root = if matches!(shape, Shape::NoCurrent(_)) { Span::noop() } else { Span::root("request", context) };
        match shape {
            Shape::Ready(n) => {
                for _ in 0..n {
                    to_completion(async {}.in_span(Span::enter_with_parent("child", &root)));
                }
                return;
            }
            Shape::Pending(n) => {
                for _ in 0..n {
                    to_completion(PendingOnce::default().in_span(Span::enter_with_parent("child", &root)));
                }
                return;
            }
            _ => {}
        }
        let _current = root.set_local_parent();
        match shape {
            Shape::Attributes(n) => {
                for child in 0..n {
                    let _span = LocalSpan::enter_with_local_parent("child").with_properties(|| {
                        let child = child.to_string();
                        [("kind", "static".into()), ("child", child.into()), ("user", OWNED.to_owned().into())]
                            as [(&str, Cow<'static, str>); 3]
                    });
                }
            }
            Shape::Nested(depth) => nested(depth),
            Shape::Functions(n) => {
                for child in 0..n {
                    std::hint::black_box(annotated(child));
                }
            }
            Shape::Children(n)
            | Shape::Eight(n)
            | Shape::Unsampled(n)
            | Shape::Off(n)
            | Shape::NoClient(n)
            | Shape::NoCurrent(n)
            | Shape::Ready(n)
            | Shape::Pending(n) => {
                for _ in 0..n {
                    let _span = LocalSpan::enter_with_local_parent("child");
                }
            }
        }
    }

    fn flush(&self) {
        fastrace::flush();
    }

    fn delivered(&self) -> u64 {
        self.counting.spans.load(Ordering::Relaxed)
    }

    fn misplaced(&self) -> u64 {
        self.counting.misplaced.load(Ordering::Relaxed)
    }
}
