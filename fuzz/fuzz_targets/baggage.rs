//! Any text is read within the bounds or not at all; what was read is written as it stood there, and is read again as it was; and nothing
//! that could end a header line gets through.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use span_runtime::propagation::Baggage;

fuzz_target!(|text: &str| {
    if let Some(baggage) = Baggage::parse(text) {
        let written = baggage.to_string();
        assert!(written.len() <= 8192 && baggage.sampling_context().count() + baggage.others().count() <= 64);
        assert!(!written.contains(['\r', '\n', '\0']), "{written:?}");
        let members: HashSet<&str> = text.split(',').map(|member| member.trim_matches([' ', '\t'])).collect();
        assert!(written.is_empty() || written.split(',').all(|member| members.contains(member)), "half believed");
        assert_eq!(Baggage::parse(&written), Some(baggage));
    }
});
