//! What is measured.

/// What one request does: a root span, and below it what the shape says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// So many children, one after the other.
    Children(usize),
    /// The same, each with three attributes: a static text, an integer, a short owned text.
    Attributes(usize),
    /// The same, each with eight: three static texts, two integers, a float, a boolean, and an owned text. For the flusher; ours only.
    Eight(usize),
    /// So many spans, each below the one before.
    Nested(usize),
    /// So many calls of an annotated function.
    Functions(usize),
    /// So many instrumented futures that are ready at once.
    Ready(usize),
    /// So many that are pending once.
    Pending(usize),
    /// So many children of a root that is not sampled.
    Unsampled(usize),
    /// So many children where the library is installed and tracing is off.
    Off(usize),
    /// So many children where the library is not installed.
    NoClient(usize),
    /// So many spans that are to be children, where nothing is current.
    NoCurrent(usize),
}

impl Shape {
    /// How many spans are to be exported. The root counts.
    pub fn recorded(self) -> usize {
        match self {
            Shape::Children(n)
            | Shape::Attributes(n)
            | Shape::Eight(n)
            | Shape::Nested(n)
            | Shape::Functions(n)
            | Shape::Ready(n)
            | Shape::Pending(n) => n + 1,
            Shape::Unsampled(_) | Shape::Off(_) | Shape::NoClient(_) | Shape::NoCurrent(_) => 0,
        }
    }

    /// By how many the time is divided.
    pub fn spans(self) -> usize {
        match self {
            // Where nothing is recorded the spans below the root are what one asks for.
            Shape::Unsampled(n) | Shape::Off(n) | Shape::NoClient(n) | Shape::NoCurrent(n) => n,
            _ => self.recorded(),
        }
    }

    /// Whether the library is to be installed for it.
    pub fn wants_client(self) -> bool {
        !matches!(self, Shape::NoClient(_))
    }
}

/// So many requests of a shape, on each of so many threads.
#[derive(Debug)]
pub struct Workload {
    /// As it is printed, and as it is chosen by.
    pub name: &'static str,
    /// What a request does.
    pub shape: Shape,
    /// Requests on each thread.
    pub requests: usize,
    /// So many threads of their own; `None` is the main thread.
    pub threads: Option<usize>,
}

const fn workload(name: &'static str, requests: usize, shape: Shape) -> Workload {
    Workload { name, shape, requests, threads: None }
}

const fn on_threads(name: &'static str, threads: usize, requests: usize, shape: Shape) -> Workload {
    Workload { name, shape, requests, threads: Some(threads) }
}

/// About 10,000 spans a measurement where they are exported: no peer's default queue is much smaller.
pub const WORKLOADS: &[Workload] = &[
    workload("no client", 100, Shape::NoClient(1_000)),
    workload("requests of 1", 5_000, Shape::Children(1)),
    workload("requests of 10", 1_000, Shape::Children(10)),
    workload("requests of 100", 100, Shape::Children(100)),
    workload("requests of 1,000", 10, Shape::Children(1_000)),
    workload("requests of 1, 3 attributes", 5_000, Shape::Attributes(1)),
    workload("requests of 10, 3 attributes", 1_000, Shape::Attributes(10)),
    workload("requests of 100, 3 attributes", 100, Shape::Attributes(100)),
    workload("requests of 1,000, 3 attributes", 10, Shape::Attributes(1_000)),
    workload("10 deep", 1_000, Shape::Nested(10)),
    workload("100 deep", 100, Shape::Nested(100)),
    workload("functions, requests of 100", 100, Shape::Functions(100)),
    workload("ready futures, requests of 100", 100, Shape::Ready(100)),
    workload("futures pending once, requests of 100", 100, Shape::Pending(100)),
    workload("unsampled, requests of 100", 1_000, Shape::Unsampled(100)),
    workload("tracing off", 100, Shape::Off(1_000)),
    workload("no current span", 100, Shape::NoCurrent(1_000)),
    on_threads("1 thread, requests of 100", 1, 200, Shape::Children(100)),
    on_threads("2 threads, requests of 100", 2, 100, Shape::Children(100)),
    on_threads("4 threads, requests of 100", 4, 50, Shape::Children(100)),
];

/// The short text that a child with attributes is given as its own.
pub const OWNED: &str = "user-12345";
