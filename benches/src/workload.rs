//! What is measured.

/// So many requests, each a root with so many children.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) requests: usize,
    pub(crate) children: usize,
    /// With three attributes each child: a static text, an integer, a short owned text.
    pub(crate) attributes: bool,
}

impl Workload {
    /// Roots count as spans.
    pub(crate) fn spans(&self) -> usize {
        self.requests * (self.children + 1)
    }
}

const fn workload(name: &'static str, requests: usize, children: usize, attributes: bool) -> Workload {
    Workload { name, requests, children, attributes }
}

/// About 10,000 spans a measurement: no peer's default queue is much smaller.
pub(crate) const WORKLOADS: &[Workload] = &[
    workload("requests of 1 child", 2_000, 1, false),
    workload("requests of 10 children", 500, 10, false),
    workload("requests of 100 children", 100, 100, false),
    workload("requests of 1,000 children", 10, 1_000, false),
    workload("requests of 10 children, 3 attributes", 500, 10, true),
    workload("requests of 100 children, 3 attributes", 100, 100, true),
];

/// The short owned text of a child.
pub(crate) fn owned_text(child: usize) -> String {
    format!("user-{child}")
}
