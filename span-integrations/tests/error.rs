//! Errors and their causes, on spans.
#![cfg(feature = "error")]
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::future::pending;
use std::time::Duration;

use span_integrations::error::{RecordError as _, record, record_dyn};
use span_runtime::{Instrument as _, start_span};
use span_tests::Harness;
use tokio::time::timeout;

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
    // Those that start in the same microsecond are shown in the order of their names.
    let span = start_span("detached").inactive().start();
    let guard = start_span("guard").start();
    let handle = start_span("handle").inactive().start();
    record(&span, &fmt::Error);
    record(&guard, &fmt::Error);
    record_dyn(&handle.handle(), &layered(&["whole", "part"]));
    drop((span, guard, handle));
    let formatting = "error.message=\"an error occurred when formatting an argument\"";
    let expected = format!(
        "detached [error] error.type=\"core::fmt::Error\" {formatting}\n\
         ---\n\
         guard [error] error.type=\"core::fmt::Error\" {formatting}\n  \
         handle [error] error.message=\"whole\" error.causes=[\"part\"]\n"
    );
    assert_eq!(harness.text(&SHOWN), expected);
}

/// Work in a span of this name, which fails after a while with an error of this name.
async fn fails(name: &'static str) {
    let work = async {
        tokio::task::yield_now().await;
        Err::<(), _>(layered(&[name, "the cause"])).record_error()
    };
    assert!(work.in_span(start_span(name).inactive().start()).await.is_err());
}

#[test]
fn errors_at_once_go_to_their_own_spans() {
    for workers in [1, 2] {
        let harness = Harness::new();
        let mut builder = match workers {
            1 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = builder.worker_threads(workers).build().expect("there are threads");
        runtime.block_on(async {
            // On one task, and on two.
            tokio::join!(fails("one"), fails("two"));
            let (three, four) = (fails("three").in_current_span(), fails("four").in_current_span());
            let (three, four) = (tokio::spawn(three), tokio::spawn(four));
            three.await.expect("it does not panic");
            four.await.expect("it does not panic");
        });
        let text = harness.text(&SHOWN[1..]);
        let mut trees: Vec<&str> = text.split("---\n").collect();
        trees.sort_unstable();
        let expected = ["four", "one", "three", "two"]
            .map(|name| format!("{name} [error] error.message=\"{name}\" error.causes=[\"the cause\"]\n"));
        assert_eq!(trees, expected, "{workers} workers");
    }
}

#[test]
fn what_is_out_of_time_is_an_error_where_it_is_asked_for_and_what_is_dropped_is_none() {
    let harness = Harness::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("there is a thread");
    runtime.block_on(async {
        let limit = Duration::from_millis(1);
        let late = async { timeout(limit, pending::<()>()).await.record_error() };
        assert!(late.in_span(start_span("late").inactive().start()).await.is_err());
        let dropped = async {
            pending::<()>().await;
            Err::<(), _>(fmt::Error).record_error()
        };
        assert!(timeout(limit, dropped.in_span(start_span("dropped").inactive().start())).await.is_err());
    });
    let expected = "\
        late [error] error.type=\"tokio::time::error::Elapsed\" error.message=\"deadline has elapsed\"\n---\n\
        dropped span.cancelled=true\n";
    assert_eq!(harness.text(&[&SHOWN[..], &["span.cancelled"]].concat()), expected);
}

#[test]
fn an_error_that_panics_where_it_is_written_is_told_as_far_as_it_goes() {
    #[derive(Debug)]
    struct Broken(Option<Box<Broken>>);
    impl fmt::Display for Broken {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("half")?;
            panic!("on purpose");
        }
    }
    impl Error for Broken {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.0.as_deref().map(|cause| cause as _)
        }
    }
    let harness = Harness::new();
    let span = start_span("span").start();
    assert!(Err::<(), _>(Broken(Some(Box::new(Broken(None))))).record_error().is_err(), "the work goes on");
    span.end();
    assert_eq!(harness.text(&SHOWN[1..]), "span [error] error.message=\"half\" error.causes=[\"half\"]\n");
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
