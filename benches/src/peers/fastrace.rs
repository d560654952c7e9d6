//! fastrace, with a reporter that counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrace::collector::{Config, Reporter};
use fastrace::prelude::{LocalSpan, Span, SpanContext, SpanRecord};

use super::Peer;
use crate::workload::owned_text;

struct Counting {
    spans: Arc<AtomicU64>,
    misplaced: Arc<AtomicU64>,
}

impl Reporter for Counting {
    fn report(&mut self, spans: Vec<SpanRecord>) {
        self.spans.fetch_add(spans.len() as u64, Ordering::Relaxed);
        if spans.len() == 51 {
            let root = spans.iter().find(|span| span.name == "request").map(|span| span.span_id);
            let misplaced = spans.iter().filter(|span| span.name == "child" && Some(span.parent_id) != root).count();
            self.misplaced.fetch_add(misplaced as u64, Ordering::Relaxed);
        }
    }
}

pub(super) struct Fastrace {
    spans: Arc<AtomicU64>,
    misplaced: Arc<AtomicU64>,
}

impl Fastrace {
    pub(super) fn start() -> Self {
        let (spans, misplaced) = (Arc::default(), Arc::default());
        let reporter = Counting { spans: Arc::clone(&spans), misplaced: Arc::clone(&misplaced) };
        fastrace::set_reporter(reporter, Config::default());
        Fastrace { spans, misplaced }
    }
}

impl Peer for Fastrace {
    fn name(&self) -> &'static str {
        "fastrace"
    }

    fn request(&mut self, children: usize, attributes: bool) {
        let root = Span::root("request", SpanContext::random());
        let _current = root.set_local_parent();
        for child in 0..children {
            let span = LocalSpan::enter_with_local_parent("child");
            if attributes {
                let _span = span.with_properties(|| {
                    [("kind", "static".into()), ("child", child.to_string().into()), ("user", owned_text(child).into())]
                        as [(&str, std::borrow::Cow<'static, str>); 3]
                });
            }
        }
    }

    fn flush(&mut self) {
        fastrace::flush();
    }

    fn delivered(&self) -> u64 {
        self.spans.load(Ordering::Relaxed)
    }

    fn misplaced(&self) -> u64 {
        self.misplaced.load(Ordering::Relaxed)
    }
}
