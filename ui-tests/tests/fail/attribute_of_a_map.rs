// A map is several attributes.
use std::collections::HashMap;

use span_runtime::start_span;

fn main() {
    let headers = HashMap::from([("accept", "text/html")]);
    start_span("work").attribute("headers", headers).start().end();
}
