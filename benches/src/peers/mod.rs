//! The libraries that are measured, each behind the same trait, and each used as its documents would have one use it.

mod fastrace;
mod opentelemetry;
mod sentry;
mod streaming;

pub use streaming::Streaming;

use crate::workload::Shape;

/// One library.
pub trait Peer: Sync {
    /// Its name in the table.
    fn name(&self) -> &'static str;

    /// Whether it has what the shape asks for.
    fn knows(&self, shape: Shape) -> bool {
        let _ = shape;
        true
    }

    /// Installs it. Until then, it is as in a program that does not use it.
    fn install(&mut self);

    /// Makes ready for requests of this shape.
    fn prepare(&mut self, shape: Shape) {
        let _ = shape;
    }

    /// One request.
    fn request(&self, shape: Shape);

    /// Waits until what was made has been exported.
    fn flush(&self);

    /// How many spans its exporter was given since the beginning.
    fn delivered(&self) -> u64;

    /// How many of a request of [`VERIFIED`] children were below another parent than their root.
    fn misplaced(&self) -> u64;

    /// Checks that it does what is to be measured.
    ///
    /// # Errors
    ///
    /// When spans are missing, or misplaced.
    fn verify(&mut self) -> Result<(), String> {
        let shapes = [
            Shape::Children(VERIFIED),
            Shape::Attributes(VERIFIED),
            Shape::Eight(VERIFIED),
            Shape::Functions(VERIFIED),
            Shape::Ready(VERIFIED),
            Shape::Pending(VERIFIED),
            Shape::Nested(7),
            Shape::Unsampled(VERIFIED),
            Shape::Off(VERIFIED),
            Shape::NoCurrent(VERIFIED),
        ];
        for shape in shapes {
            if !self.knows(shape) {
                continue;
            }
            self.prepare(shape);
            let before = self.delivered();
            self.request(shape);
            self.flush();
            let (delivered, misplaced) = (self.delivered() - before, self.misplaced());
            if (delivered, misplaced) != (shape.recorded() as u64, 0) {
                return Err(format!(
                    "{shape:?}: of {} spans {delivered} were delivered, {misplaced} of them below the wrong parent",
                    shape.recorded()
                ));
            }
        }
        Ok(())
    }
}

/// The number of children by which an exporter recognises the request whose parents it checks.
pub const VERIFIED: usize = 53;

/// All of them; the first is ours.
pub fn all() -> Vec<Box<dyn Peer>> {
    vec![
        Box::<Streaming>::default(),
        Box::<fastrace::Fastrace>::default(),
        Box::<opentelemetry::Tracing>::default(),
        Box::<sentry::Transactions>::default(),
    ]
}
