//! Any text is read as a whole or not at all, and what was read is written as it is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use span_runtime::propagation::Traceparent;

fuzz_target!(|text: &str| {
    if let Some(header) = Traceparent::parse(text) {
        let written = header.to_string();
        assert_eq!(Traceparent::parse(&written), Some(header));
        // Version and flags may differ; the ids are what stands there.
        assert_eq!(text.trim().get(3..52), written.get(3..52), "{text:?} was half believed");
    }
});
