//! The libraries that are compared, each behind the same trait.

mod fastrace;
mod opentelemetry;
mod sentry;
mod streaming;

/// One library.
pub(crate) trait Peer {
    /// Its name in the table.
    fn name(&self) -> &'static str;

    /// A root span with so many children, one after the other, as its documents would have one write it.
    fn request(&mut self, children: usize, attributes: bool);

    /// Waits until what was made has been exported.
    fn flush(&mut self);

    /// How many spans its exporter was given since the beginning.
    fn delivered(&self) -> u64;

    /// How many spans its exporter was given whose parent is not the root that they were made under.
    fn misplaced(&self) -> u64;

    /// Checks that it does what is to be measured.
    fn verify(&mut self) -> Result<(), String> {
        let before = self.delivered();
        self.request(50, true);
        self.flush();
        match (self.delivered() - before, self.misplaced()) {
            (51, 0) => Ok(()),
            (delivered, misplaced) => {
                Err(format!("of 51 spans {delivered} were delivered, {misplaced} of them below the wrong parent"))
            }
        }
    }
}

/// All of them; the first is ours.
pub(crate) fn all() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(streaming::Streaming::start()),
        Box::new(fastrace::Fastrace::start()),
        Box::new(opentelemetry::Tracing::start()),
        Box::new(sentry::Transactions::start()),
    ]
}
