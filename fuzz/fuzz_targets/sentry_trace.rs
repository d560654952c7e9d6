//! Any text is read as a whole or not at all, and what was read is written as it is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use span_runtime::propagation::SentryTrace;

fuzz_target!(|text: &str| {
    if let Some(header) = SentryTrace::parse(text) {
        let written = header.to_string();
        assert_eq!(SentryTrace::parse(&written), Some(header));
        assert!(text.trim().eq_ignore_ascii_case(&written), "{text:?} was half believed: {written}");
    }
});
