//! Errors and their causes, on spans.
#![cfg(feature = "error")]
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;

use span_integrations::error::{RecordError as _, record, record_dyn};
use span_runtime::start_span;
use span_tests::Harness;

const SHOWN: [&str; 3] = ["error.type", "error.message", "error.causes"];

#[derive(Debug)]
struct Layered(&'static str, Option<Box<Layered>>);

impl fmt::Display for Layered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Layered {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.1.as_deref().map(|cause| cause as _)
    }
}

fn layered(texts: &[&'static str]) -> Layered {
    let (first, rest) = texts.split_first().expect("there is one");
    Layered(first, (!rest.is_empty()).then(|| Box::new(layered(rest))))
}

#[test]
fn a_result_goes_through_and_its_error_goes_to_the_current_span() {
    let harness = Harness::new();
    let outer = start_span("outer").start();
    assert_eq!("7".parse::<u8>().record_error(), Ok(7));
    {
        let _inner = start_span("inner").start();
        assert!(Err::<(), _>(layered(&["no settings", "no file", "gone"])).record_error().is_err());
    }
    outer.end();
    let expected = "\
        outer\n  \
        inner [error] error.type=\"error::Layered\" error.message=\"no settings\" error.causes=[\"no file\",\"gone\"]\n";
    assert_eq!(harness.text(&SHOWN), expected);
}

#[test]
fn anything_that_stands_for_a_span_can_have_one() {
    let harness = Harness::new();
    let span = start_span("span").inactive().start();
    let guard = start_span("guard").start();
    let handle = start_span("handle").inactive().start();
    record(&span, &fmt::Error);
    record(&guard, &fmt::Error);
    record_dyn(&handle.handle(), &layered(&["whole", "part"]));
    drop((span, guard, handle));
    let formatting = "error.message=\"an error occurred when formatting an argument\"";
    let expected = format!(
        "span [error] error.type=\"core::fmt::Error\" {formatting}\n\
         ---\n\
         guard [error] error.type=\"core::fmt::Error\" {formatting}\n  \
         handle [error] error.message=\"whole\" error.causes=[\"part\"]\n"
    );
    assert_eq!(harness.text(&SHOWN), expected);
}

#[test]
fn a_chain_that_is_long_or_a_ring_is_cut() {
    #[derive(Debug)]
    struct Ring;
    impl fmt::Display for Ring {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("again")
        }
    }
    impl Error for Ring {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&Ring)
        }
    }
    let harness = Harness::new();
    record(&start_span("ring").start(), &Ring);
    let spans = harness.finish();
    let causes = spans[0].attribute("error.causes").expect("there are causes");
    assert_eq!(causes.as_array().map(Vec::len), Some(16), "{causes}");
}

#[test]
fn what_is_not_recorded_is_not_even_formatted() {
    #[derive(Debug)]
    struct Unread;
    impl fmt::Display for Unread {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("nobody reads this");
        }
    }
    impl Error for Unread {}
    assert!(Err::<(), _>(Unread).record_error().is_err(), "no runtime");
    let harness = Harness::sampling(0.0);
    let unsampled = start_span("unsampled").start();
    assert!(Err::<(), _>(Unread).record_error().is_err());
    record(&unsampled, &Unread);
    drop(unsampled);
    assert_eq!(harness.text(&SHOWN), "");
}
