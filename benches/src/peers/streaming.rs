//! span-runtime, through its macros.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use span_runtime::transport::{Response, Transport, TransportError};
use span_runtime::{Guard, Options, Parent, init, span};

use super::{Peer, VERIFIED};
use crate::envelope::item_count;
use crate::poll::{PendingOnce, to_completion};
use crate::workload::{OWNED, Shape};

span_runtime::lifecycle!(stream);

/// Takes envelopes as fast as they come. They are serialised in full all the same.
#[derive(Debug, Default, Clone)]
struct Counting {
    spans: Arc<AtomicU64>,
    envelopes: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
    /// The last envelope, if it is to be kept.
    last: Arc<Mutex<Option<Vec<u8>>>>,
    misplaced: Arc<AtomicU64>,
    /// Whether to answer that no more spans are wanted.
    limits: Arc<AtomicBool>,
    /// Whether not to answer at all.
    hangs: Arc<AtomicBool>,
}

impl Transport for Counting {
    fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError> {
        while self.hangs.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let count = item_count(envelope);
        self.spans.fetch_add(count, Ordering::Relaxed);
        self.envelopes.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(envelope.len() as u64, Ordering::Relaxed);
        if let Some(last) = &mut *self.last.lock().unwrap_or_else(PoisonError::into_inner) {
            last.clear();
            last.extend_from_slice(envelope);
        }
        // Only while verifying, when an envelope holds one small request: each child names the one root.
        if count == VERIFIED as u64 + 1 {
            let text = String::from_utf8_lossy(envelope);
            let root = text.split("\"is_segment\":true").next().and_then(|before| before.rsplit_once("\"span_id\":\""));
            let id = root.and_then(|(_, rest)| rest.get(..16)).unwrap_or("none");
            let children = text.matches(&format!("\"parent_span_id\":\"{id}\"")).count();
            self.misplaced.fetch_add(VERIFIED.saturating_sub(children) as u64, Ordering::Relaxed);
        }
        let mut response = Response::new(200);
        if self.limits.load(Ordering::Relaxed) {
            response.rate_limits = Some("86400:span".into());
        }
        Ok(response)
    }
}

/// Which runtime is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rate {
    All,
    None,
    Off,
}

/// span-runtime.
#[derive(Debug, Default)]
pub struct Streaming {
    counting: Counting,
    installed: Option<(Rate, Guard)>,
}

impl Streaming {
    fn install_with(&mut self, rate: Rate) {
        if self.installed.as_ref().is_some_and(|(installed, _)| *installed == rate) {
            return;
        }
        self.installed = None;
        let options = Options::new().transport(self.counting.clone()).enable_backpressure_handling(false);
        let options = match rate {
            Rate::All => options.traces_sample_rate(1.0),
            Rate::None => options.traces_sample_rate(0.0),
            Rate::Off => options,
        };
        self.installed = Some((rate, init(options).expect("the options are valid")));
    }

    /// How many envelopes came, and how many bytes they had.
    pub fn envelopes(&self) -> (u64, u64) {
        (self.counting.envelopes.load(Ordering::Relaxed), self.counting.bytes.load(Ordering::Relaxed))
    }

    /// The envelope of one request.
    pub fn envelope(&self, shape: Shape) -> Vec<u8> {
        let last = || self.counting.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last() = Some(Vec::new());
        self.request(shape);
        self.flush();
        last().take().unwrap_or_default()
    }

    /// Has the other side not answer, or answer again.
    pub fn hang(&self, hangs: bool) {
        self.counting.hangs.store(hangs, Ordering::Relaxed);
    }

    /// Has the other side refuse spans from here on, so that they are dropped before they are serialised.
    pub fn limit(&self) {
        self.counting.limits.store(true, Ordering::Relaxed);
        self.request(Shape::Children(1));
        self.flush();
    }
}

#[span(name = "child")]
#[inline(never)]
fn annotated(child: usize) -> usize {
    child
}

fn eight(child: usize) {
    span!(
        "child",
        "http.request.method" = "GET",
        "http.route" = "/orders/{id}/items",
        "http.response.status_code" = 200,
        "db.system" = "postgresql",
        "db.rows" = child,
        "cache.ratio" = child as f64 / 16.0,
        "cache.hit" = child % 3 == 1,
        "order.id" = order_id(child),
        {}
    );
}

/// A text that is too long to stand inside of an attribute, another for each child.
fn order_id(child: usize) -> String {
    let number = (child as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    format!("{:016x}-{:016x}", (number >> 64) as u64, number as u64)
}

#[span(name = "child")]
async fn ready() {}

#[span(name = "child")]
async fn pending_once() {
    PendingOnce::default().await;
}

fn nested(depth: usize) {
    if depth > 0 {
        span!("child", { nested(depth - 1) });
    }
}

impl Peer for Streaming {
    fn name(&self) -> &'static str {
        "span-runtime"
    }

    fn install(&mut self) {
        self.install_with(Rate::All);
    }

    fn prepare(&mut self, shape: Shape) {
        match shape {
            Shape::NoClient(_) => self.installed = None,
            Shape::Unsampled(_) => self.install_with(Rate::None),
            Shape::Off(_) => self.install_with(Rate::Off),
            _ => self.install_with(Rate::All),
        }
    }

    fn request(&self, shape: Shape) {
        if let Shape::NoCurrent(n) = shape {
            for _ in 0..n {
                span!("child", parent = Parent::ONLY_CURRENT, {});
            }
            return;
        }
        span!("request", {
            match shape {
                Shape::Attributes(n) => {
                    for child in 0..n {
                        span!("child", "kind" = "static", "child" = child, "user" = OWNED.to_owned(), {});
                    }
                }
                Shape::Eight(n) => {
                    for child in 0..n {
                        eight(child);
                    }
                }
                Shape::Nested(depth) => nested(depth),
                Shape::Functions(n) => {
                    for child in 0..n {
                        std::hint::black_box(annotated(child));
                    }
                }
                Shape::Ready(n) => {
                    for _ in 0..n {
                        to_completion(ready());
                    }
                }
                Shape::Pending(n) => {
                    for _ in 0..n {
                        to_completion(pending_once());
                    }
                }
                Shape::Children(n) | Shape::Unsampled(n) | Shape::Off(n) | Shape::NoClient(n) | Shape::NoCurrent(n) => {
                    for _ in 0..n {
                        span!("child", {});
                    }
                }
            }
        });
    }

    fn flush(&self) {
        if let Some((_, guard)) = &self.installed {
            guard.flush(Duration::from_secs(30));
        }
    }

    fn delivered(&self) -> u64 {
        self.counting.spans.load(Ordering::Relaxed)
    }

    fn misplaced(&self) -> u64 {
        self.counting.misplaced.load(Ordering::Relaxed)
    }
}
