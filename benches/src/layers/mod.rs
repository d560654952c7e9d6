//! The layers that are measured around a handler of axum, each used as its documents would have one use it.

mod exported;
mod ours;
mod sentry_tower;
mod served;
mod trace_layer;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use tower_layer::layer_fn;

use exported::{Exported, Seen};
pub use served::{Incoming, Request, Server};

/// What a program has that uses a library's layer. Its drop takes the library away again.
trait Installed {
    /// Puts the layer behind the routes.
    fn layered(&self, routes: Router) -> Router {
        routes
    }

    /// Serves as a thread does that the library is installed on.
    fn within(&self, serve: &mut dyn FnMut()) {
        serve();
    }

    /// Waits until what was made has been exported.
    fn flush(&self) {}
}

/// What a layer exports of a request.
#[derive(Debug, Clone, Copy)]
struct Exports {
    name: &'static str,
    /// Whether it is part of the trace that the request's headers name.
    continues: bool,
}

/// A layer, and what is installed beside it.
pub struct Layered {
    /// Its name in the table.
    pub name: &'static str,
    /// Which of ours does as much as it does.
    pub ours: Option<&'static str>,
    exports: Option<Exports>,
    exported: Arc<Exported>,
    install: fn(&Arc<Exported>) -> Box<dyn Installed>,
}

/// A layer while it is installed, and what serves by it.
pub struct Running<'l> {
    layered: &'l Layered,
    server: Server,
    installed: Box<dyn Installed>,
}

impl Layered {
    /// Whether it exports something of each request.
    pub fn exports(&self) -> bool {
        self.exports.is_some()
    }

    /// Installs it, until the value is dropped.
    pub fn install(&self) -> Running<'_> {
        let installed = (self.install)(&self.exported);
        let server = Server::new(installed.layered(served::routes()));
        Running { layered: self, server, installed }
    }

    /// Checks that it does what is to be measured.
    ///
    /// # Errors
    ///
    /// When something is missing that it should export, or there is more of it, or it has another name or another parent.
    pub fn verify(&self, incoming: Incoming) -> Result<(), String> {
        const REQUESTS: usize = 53;
        let mut running = self.install();
        self.exported.keep();
        let mut requests = running.requests(REQUESTS, incoming);
        let expected: Vec<Seen> = self.exports.map_or_else(Vec::new, |exports| {
            let trace = |number| incoming.trace(number).filter(|_| exports.continues);
            (0..REQUESTS).map(|number| Seen::new(exports.name, trace(number))).collect()
        });
        running.serve(&mut |server| server.serve(std::mem::take(&mut requests)));
        running.flush();
        let seen = self.exported.kept();
        let missing = expected.iter().filter(|one| !seen.contains(one)).count();
        if (seen.len(), missing) == (expected.len(), 0) {
            return Ok(());
        }
        Err(format!("of {} spans {} came, and {missing} not as {:?}", expected.len(), seen.len(), expected.first()))
    }
}

impl Running<'_> {
    /// So many requests for it. Where it exports nothing, the caller of each has decided so as well.
    pub fn requests(&self, many: usize, incoming: Incoming) -> Vec<Request> {
        (0..many).map(|number| served::request(number, incoming, self.layered.exports())).collect()
    }

    /// Serves as a thread does that the library is installed on.
    pub fn serve(&mut self, serve: &mut dyn FnMut(&mut Server)) {
        let server = &mut self.server;
        self.installed.within(&mut || serve(server));
    }

    /// Waits until what was made has been exported.
    pub fn flush(&self) {
        self.installed.flush();
    }

    /// How many spans, or transactions, were exported since the beginning.
    pub fn delivered(&self) -> u64 {
        self.layered.exported.count()
    }
}

impl fmt::Debug for Layered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Running<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("layered", &self.layered).finish_non_exhaustive()
    }
}

/// The routes as they are.
struct Bare;

impl Installed for Bare {}

/// What axum itself does for a layer: it clones the route within, and boxes the future and the body.
struct Empty;

impl Installed for Empty {
    fn layered(&self, routes: Router) -> Router {
        routes.layer(layer_fn(|route| route))
    }
}

const OURS: &str = "span-runtime";
const OURS_UNSAMPLED: &str = "span-runtime, unsampled";
const OURS_OFF: &str = "span-runtime, tracing off";
const OURS_NO_CLIENT: &str = "span-runtime, no client";

/// All of them; the first is none, from which the costs of the others count.
pub fn all() -> Vec<Layered> {
    let layered = |name, ours, exports, install| Layered { name, ours, exports, exported: Arc::default(), install };
    let route = Some(Exports { name: "GET /orders/{id}", continues: true });
    // It takes no trace from headers, and its span is named the same for all.
    let request = Some(Exports { name: "request", continues: false });
    vec![
        layered("no layer", None, None, |_| Box::new(Bare)),
        layered("a layer that does nothing", None, None, |_| Box::new(Empty)),
        layered(OURS, Some(OURS), route, ours::sampled),
        layered(OURS_UNSAMPLED, Some(OURS_UNSAMPLED), None, ours::unsampled),
        layered(OURS_OFF, Some(OURS_OFF), None, ours::off),
        layered(OURS_NO_CLIENT, Some(OURS_NO_CLIENT), None, ours::no_client),
        layered("TraceLayer, no subscriber", Some(OURS_NO_CLIENT), None, trace_layer::no_subscriber),
        layered("TraceLayer, text to nowhere", Some(OURS), None, trace_layer::text),
        layered("TraceLayer, opentelemetry", Some(OURS), request, trace_layer::opentelemetry),
        layered("sentry-tower", Some(OURS), route, sentry_tower::sampled),
        layered("sentry-tower, unsampled", Some(OURS_UNSAMPLED), None, sentry_tower::unsampled),
    ]
}
