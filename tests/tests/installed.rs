//! A runtime that is installed for the whole process. One test, so that no other one's spans get into it.
#![forbid(unsafe_code)]

use span_runtime::testing::CaptureTransport;
use span_runtime::transport::{Response, Transport, TransportError};
use span_runtime::{Options, Runtime, init, start_span};
use span_tests::SOON;

// behaviour 48
#[test]
fn what_is_to_record_nothing_does_not_turn_to_the_installed_runtime() {
    struct Instrumented(CaptureTransport);
    impl Transport for Instrumented {
        fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError> {
            let span = start_span("send").start();
            assert_eq!(span.trace_id(), None);
            assert_eq!(start_span("root of its own").root().start().trace_id(), None);
            self.0.send(envelope)
        }
    }
    let capture = CaptureTransport::new();
    let options = Options::new().transport(Instrumented(capture.clone())).traces_sample_rate(1.0);
    let guard = init(options).expect("nothing else in this process installs a runtime");
    start_span("work").start().end();
    {
        // One that sends nowhere records nothing, although another is installed.
        let nowhere = Runtime::new(Options::new()).expect("no dsn is no error");
        let _entered = nowhere.enter();
        assert_eq!(start_span("nowhere").start().trace_id(), None);
    }
    assert!(guard.flush(SOON));
    assert_eq!(guard.stats().started, 1);
    assert_eq!(capture.span_count(), 1);
}
