//! Whatever a span holds and whatever sampling context came with its trace, the envelope is one that the receiving end takes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    span_runtime::fuzzing::envelope(input);
});
