//! What is told of a request that is served, whichever library serves it.

use std::sync::Arc;

use span_runtime::{SpanBuilder, names};

use super::server_of;

/// What of requests is recorded where it is asked for, because it may be sensitive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) query: bool,
    /// The attributes of headers.
    headers: Arc<[String]>,
}

/// What stands at the head of a request.
pub(crate) struct Head<'r> {
    pub(crate) authority: Option<&'r str>,
    pub(crate) query: Option<&'r str>,
    /// The address that it came from, if that is known.
    pub(crate) client: Option<String>,
}

impl Asked {
    /// Which headers are recorded.
    pub(crate) fn headers<N: AsRef<str>>(&mut self, recorded: impl IntoIterator<Item = N>) {
        let attribute = |name: N| format!("{}{}", names::REQUEST_HEADER, name.as_ref().to_ascii_lowercase());
        self.headers = recorded.into_iter().map(attribute).collect();
    }

    /// Adds what is told of any request. `header` gives the values of the one of this name.
    pub(crate) fn describe(
        &self,
        mut span: SpanBuilder,
        head: Head<'_>,
        header: impl Fn(&str) -> Vec<String>,
    ) -> SpanBuilder {
        if let Some((address, port)) = head.authority.and_then(server_of) {
            span = span.attribute(names::SERVER_ADDRESS, address).attribute(names::SERVER_PORT, port);
        }
        span = span.attribute(names::CLIENT_ADDRESS, head.client);
        if self.query {
            span = span.attribute(names::URL_QUERY, head.query);
        }
        for attribute in &*self.headers {
            let values = header(&attribute[names::REQUEST_HEADER.len()..]);
            if !values.is_empty() {
                span = span.attribute(attribute.clone(), values.join(", "));
            }
        }
        span
    }
}
