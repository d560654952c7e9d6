//! What the user gave, for as long as it is kept.

use crate::context;
use crate::transport::{Response, Transport, TransportError};

/// Drops what is in it as code of the user's is called: with spans off, and without letting a panic through. The last of a runtime goes
/// wherever it happens to, in the start of a span or at the end of a thread, where a panic would abort the process.
pub(super) struct Kept<T>(Option<T>);

impl<T> Kept<T> {
    pub(super) fn new(value: T) -> Self {
        Kept(Some(value))
    }

    /// What is in it; `None` only while it is dropped.
    pub(super) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        let value = self.0.take();
        context::call_user(|| drop(value));
    }
}

impl<T: Transport> Transport for Kept<T> {
    fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError> {
        match &mut self.0 {
            Some(transport) => transport.send(envelope),
            None => Err(TransportError::new("the transport is gone")),
        }
    }
}
