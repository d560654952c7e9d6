//! Spotlight: a viewer on the developer's machine that is shown what is sent. (behaviour 54)
//!
//! It has a thread of its own and a small queue. What does not fit is not shown, and nothing of it is counted: a viewer that is slow, or not
//! there, changes nothing for anybody else.
#![expect(clippy::arithmetic_side_effects, reason = "lengths of what is in memory")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::backoff::Backoff;
use super::http::Http;
use super::{Response, Transport, TransportError};
use crate::context;

/// Bytes of envelopes that may wait for the viewer.
const MOST_BYTES: usize = 4 << 20;

/// The transport's end of the viewer's thread.
#[derive(Debug)]
pub(super) struct Spotlight {
    queue: Sender<Vec<u8>>,
    /// Bytes in the queue.
    bytes: Arc<AtomicUsize>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Spotlight {
    pub(super) fn start(url: &str) -> io::Result<Self> {
        let (queue, envelopes) = unbounded::<Vec<u8>>();
        let bytes = Arc::new(AtomicUsize::new(0));
        let (end, ended) = bounded(0);
        let viewer =
            Viewer { http: Http::to_viewer(url), url: url.to_owned(), backoff: Backoff::default(), told: false };
        let taken = Arc::clone(&bytes);
        thread::Builder::new().name("span-spotlight".into()).spawn(move || {
            context::silence();
            let _end: Sender<()> = end;
            let mut viewer = viewer;
            for envelope in envelopes {
                viewer.show(&envelope);
                taken.fetch_sub(envelope.len(), Ordering::Relaxed);
            }
        })?;
        Ok(Spotlight { queue, bytes, ended })
    }

    /// Shows an envelope, if there is room for it.
    pub(super) fn show(&self, envelope: &[u8]) {
        // Only this thread adds, so that the sum stays below the bound.
        if self.bytes.load(Ordering::Relaxed) + envelope.len() <= MOST_BYTES {
            self.bytes.fetch_add(envelope.len(), Ordering::Relaxed);
            // The thread is gone only by a fault of this crate.
            let _ = self.queue.send(envelope.to_vec());
        }
    }

    /// Lets the viewer have what is left, until the deadline: a program that is done at once would show nothing otherwise.
    pub(super) fn finish(self, deadline: Instant) {
        let Spotlight { queue, ended, .. } = self;
        drop(queue);
        let _ = ended.recv_deadline(deadline);
    }
}

struct Viewer {
    http: Http,
    url: String,
    backoff: Backoff,
    told: bool,
}

impl Viewer {
    fn show(&mut self, envelope: &[u8]) {
        let now = Instant::now();
        if self.backoff.next().is_some_and(|next| next > now) {
            return;
        }
        match self.http.send(envelope) {
            Ok(Response { status: 200..=299, .. }) => {
                self.backoff.succeeded();
            }
            Ok(Response { status, .. }) => {
                self.failed(&TransportError::new(format!("it answered with status {status}")));
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &TransportError) {
        self.backoff.failed(Instant::now());
        if !std::mem::replace(&mut self.told, true) {
            let url = &self.url;
            context::say(|| {
                log::warn!("sentry: Spotlight cannot be shown anything at {url}: {error}. This is said once");
            });
        }
    }
}
