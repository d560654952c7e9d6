//! Whatever stands in an attribute or a name, the scrubber takes it, and what it has cleaned it does not clean again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    span_runtime::fuzzing::scrub(input);
});
