//! Trees and waterfalls against their literal text.

use std::collections::BTreeMap;
use std::time::{Instant, UNIX_EPOCH};

use serde_json::json;

use crate::testing::{Attribute, Span, Tree, Waterfall, tree, waterfall};

const START: f64 = 1_717_245_000.0;

/// A span of trace "a" from and to these milliseconds.
fn span(id: &str, parent: &str, name: &str, from: u32, to: u32) -> Span {
    Span {
        trace_id: "a".to_owned(),
        span_id: id.to_owned(),
        parent_span_id: (!parent.is_empty()).then(|| parent.to_owned()),
        name: name.to_owned(),
        status: "ok".to_owned(),
        is_segment: parent.is_empty(),
        start_timestamp: START + f64::from(from) / 1e3,
        end_timestamp: START + f64::from(to) / 1e3,
        attributes: BTreeMap::new(),
        links: Vec::new(),
        arrived: UNIX_EPOCH,
    }
}

/// A request with three children and a grandchild, as it would arrive: ended first, sent first.
fn request() -> Vec<Span> {
    let mut failed = span("4", "1", "SELECT orders", 30, 90);
    failed.status = "error".to_owned();
    let value = json!(7);
    failed.attributes.insert("order.id".to_owned(), Attribute { type_: "integer".to_owned(), value });
    vec![
        span("3", "2", "cache", 12, 13),
        span("2", "1", "check user", 10, 30),
        failed,
        span("5", "1", "render", 90, 120),
        span("1", "", "GET /orders", 0, 120),
    ]
}

#[test]
fn a_tree_is_indented_text() {
    let expected = "\
GET /orders
  check user
    cache
  SELECT orders [error]
  render
";
    assert_eq!(tree(&request()), expected);
    let mut reversed = request();
    reversed.reverse();
    assert_eq!(tree(&reversed), expected);
    assert_eq!(tree(&[]), "");
}

#[test]
fn a_tree_shows_chosen_attributes() {
    let mut spans = request();
    spans.truncate(3);
    let text = json!("a\nb");
    spans[0].attributes.insert("text".to_owned(), Attribute { type_: "string".to_owned(), value: text });
    assert_eq!(
        Tree::new(&spans).attributes(&["text", "order.id"]).to_string(),
        "\
check user (parent not received)
  cache text=\"a\\nb\"
SELECT orders [error] order.id=7 (parent not received)
"
    );
}

#[test]
fn siblings_stand_by_start_and_then_by_name() {
    let spans =
        [span("1", "", "c", 5, 9), span("2", "", "b", 5, 6), span("3", "", "a\n", 6, 7), span("4", "", "z", 0, 9)];
    assert_eq!(tree(&spans), "z\nb\nc\na\\n\n");
}

#[test]
fn traces_stand_apart() {
    let mut spans = request();
    let mut other = span("1", "", "cron", 60, 70);
    other.trace_id = "b".to_owned();
    spans.insert(0, other);
    assert_eq!(tree(&spans[..3]), "check user (parent not received)\n  cache\n---\ncron\n");
}

#[test]
fn cycles_are_shown_once() {
    let spans =
        [span("1", "2", "a", 0, 9), span("2", "1", "b", 1, 8), span("3", "3", "c", 2, 3), span("4", "2", "d", 3, 4)];
    assert_eq!(tree(&spans), "a (its own ancestor)\n  b\n    d\nc (its own ancestor)\n");
}

#[test]
fn a_waterfall_draws_bars() {
    let expected = "\
trace a, 5 spans
GET /orders      ████████████████████████   120 ms
  check user       ████                    20.0 ms
    cache          ▐                       1.00 ms
  SELECT orders        ████████████        60.0 ms [error]
  render                           ██████  30.0 ms
";
    let text = waterfall(&request(), 15 + 2 + 24 + 2 + 7 + 8);
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn a_waterfall_keeps_the_longest() {
    let expected = "\
trace a, 5 spans
GET /orders      ████████████████████████   120 ms
  SELECT orders        ████████████        60.0 ms [error]
  … 3 more
";
    let text = Waterfall::new(&request()).width(15 + 2 + 24 + 2 + 7 + 8).max_rows(4).to_string();
    assert_eq!(text, expected, "\n{text}");
    for rows in 1..9 {
        let text = Waterfall::new(&request()).max_rows(rows).to_string();
        assert!(text.lines().count() <= rows, "{rows}\n{text}");
    }
    assert_eq!(Waterfall::new(&request()).max_rows(1).to_string(), "… 1 more trace\n");
    assert_eq!(waterfall(&[], 80), "");
}

#[test]
fn a_waterfall_has_a_column_before_the_names() {
    let mut spans = request();
    for (span, release) in spans.iter_mut().zip(["cache@1", "shop@1", "an orders\nservice@1", "shop@1"]) {
        let attribute = Attribute { type_: "string".to_owned(), value: json!(release) };
        span.attributes.insert("sentry.release".to_owned(), attribute);
    }
    // A fifth of the width, and two blanks.
    let expected = "\
trace a, 5 spans
                GET /orders      ████████████████████████   120 ms
shop@1            check user       ████                    20.0 ms
cache@1             cache          ▐                       1.00 ms
an orders\\nse…    SELECT orders        ████████████        60.0 ms [error]
shop@1            render                           ██████  30.0 ms
";
    let waterfall = Waterfall::new(&spans).column(|span| span.text("sentry.release").unwrap_or_default());
    let waterfall = waterfall.width(14 + 2 + 15 + 2 + 24 + 2 + 7 + 8);
    let text = waterfall.to_string();
    assert_eq!(text, expected, "\n{text}");
    let text = waterfall.max_rows(4).to_string();
    assert!(text.ends_with("\n                  … 3 more\n"), "\n{text}");
}

#[test]
fn a_waterfall_fits_its_width() {
    let mut spans = vec![span("0", "", "a name that is far too long for the narrow column", 0, 1000)];
    for depth in 1..60_u32 {
        spans.push(span(&depth.to_string(), &(depth - 1).to_string(), "nested deeply", depth, 1000 - depth));
    }
    let text = Waterfall::new(&spans).width(40).max_rows(usize::MAX).to_string();
    assert_eq!(text.lines().count(), 61);
    for line in text.lines() {
        assert!(line.chars().count() <= 40, "{line}");
    }
    assert!(text.contains("a name that is …"), "{text}");
}

#[test]
fn durations_are_readable() {
    for (to, expected) in [
        (0, "0 µs"),
        (7, "7.00 ms"),
        (999, "999 ms"),
        (1000, "1.00 s"),
        (12_340, "12.3 s"),
        (59_960, "1 min 00 s"),
        (125_000, "2 min 05 s"),
        (3_720_000, "1 h 02 min"),
    ] {
        let text = waterfall(&[span("1", "", "x", 0, to)], 60);
        assert!(text.ends_with(&format!("  {expected}\n")), "{expected}: {text}");
    }
}

#[test]
fn large_traces_are_quick() {
    // Wide and deep: the shapes that a quadratic step would show itself in. The bound is far
    // above what it takes (a fraction of a second, unoptimised), and far below n squared.
    let wide = (0..100_000_u32).map(|n| span(&n.to_string(), if n == 0 { "" } else { "0" }, "x", n, 100_000 + n));
    let deep = (0..100_000_u32).map(|n| span(&n.to_string(), &n.wrapping_sub(1).to_string(), "x", n, 300_000 - n));
    let (wide, deep): (Vec<_>, Vec<_>) = (wide.collect(), deep.collect());
    let began = Instant::now();
    let wide_text = waterfall(&wide, 100);
    let deep_text = waterfall(&deep, 100);
    assert!(tree(&wide).lines().count() == 100_000);
    assert!(wide_text.ends_with("  … 99952 more\n"), "{wide_text}");
    assert!(deep_text.contains("… 99952 more\n"), "{deep_text}");
    assert!(began.elapsed().as_secs() < 60, "took {:?}", began.elapsed());
}
