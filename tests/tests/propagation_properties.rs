//! What holds for every header, well formed or not. (behaviours 28 to 30)
//!
//! Each test draws from a generator with a seed of its own, which a failure shows; the variable `PROPAGATION_SEED` has it drawn again.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::fmt::{Debug, Display};

use fastrand::Rng;
use span_runtime::propagation::{Baggage, SentryTrace, Traceparent};
use span_runtime::{SpanId, TraceId, continue_trace};
use span_tests::Harness;

span_runtime::lifecycle!(stream);

const SEED: &str = "PROPAGATION_SEED";

/// How many headers a test looks at.
const ROUNDS: usize = 5_000;

/// What is beyond it is cut, where a part means something without the rest.
const MOST_BYTES: usize = 8192;
const MOST_MEMBERS: usize = 64;

fn seeded() -> Rng {
    let seed = match std::env::var(SEED) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{SEED} is no number: {text}")),
        Err(_) => fastrand::u64(..),
    };
    // Seen where the test fails.
    println!("{SEED}={seed} draws the same again");
    Rng::with_seed(seed)
}

fn trace_id(random: &mut Rng) -> TraceId {
    // Few digits at times, so that zeros come first.
    let id = (random.u128(..) >> random.u32(..128)).max(1);
    format!("{id:032x}").parse().expect("it is not zero")
}

fn span_id(random: &mut Rng) -> SpanId {
    let id = (random.u64(..) >> random.u32(..64)).max(1);
    format!("{id:016x}").parse().expect("it is not zero")
}

fn sentry_trace(random: &mut Rng) -> SentryTrace {
    let sampled = [None, Some(false), Some(true)][random.usize(..3)];
    SentryTrace { trace_id: trace_id(random), span_id: span_id(random), sampled }
}

fn traceparent(random: &mut Rng) -> Traceparent {
    Traceparent { trace_id: trace_id(random), span_id: span_id(random), sampled: random.bool() }
}

/// Of whatever characters there are, those that mean something in a header more often.
fn text(random: &mut Rng, most: usize) -> String {
    let character = |random: &mut Rng| match random.u8(..4) {
        0 => random.char(..),
        1 => *random.choice(b" \t\r\n\0,;=%-+\"").expect("there are some") as char,
        _ => random.alphanumeric(),
    };
    (0..random.usize(..=most)).map(|_| character(random)).collect()
}

/// A context and members of others.
fn baggage(random: &mut Rng) -> Baggage {
    let members: Vec<_> = (0..random.usize(..8)).map(|_| (text(random, 12), text(random, 40))).collect();
    let context = members.iter().map(|(key, value)| (key, value)).collect::<Baggage>().to_string();
    let others = (0..random.usize(..4)).map(|at| format!("k{at}={}", random.u32(..)));
    let members = Some(context).filter(|context| !context.is_empty()).into_iter().chain(others);
    Baggage::parse(&members.collect::<Vec<_>>().join(",")).expect("it is well formed")
}

fn blanks(random: &mut Rng) -> &'static str {
    ["", " ", "\t", " \t "][random.usize(..4)]
}

fn comes_back<T: Debug + Display + PartialEq>(
    draw: impl Fn(&mut Rng) -> T,
    parse: impl Fn(&str) -> Option<T>,
    random: &mut Rng,
) {
    for _ in 0..ROUNDS {
        let header = draw(random);
        let written = format!("{}{header}{}", blanks(random), blanks(random));
        assert_eq!(parse(&written).as_ref(), Some(&header), "{written:?}");
    }
}

// behaviour 28
#[test]
fn what_is_written_is_read_as_it_was() {
    let mut random = seeded();
    comes_back(sentry_trace, SentryTrace::parse, &mut random);
    comes_back(traceparent, Traceparent::parse, &mut random);
    comes_back(baggage, Baggage::parse, &mut random);
}

// behaviours 29, 30
#[test]
fn a_context_of_any_texts_is_read_as_it_was_up_to_the_bounds() {
    let mut random = seeded();
    let mut cut = 0;
    for _ in 0..200 {
        let (most_members, most_bytes) = (random.usize(1..100), random.usize(1..400));
        let members = (0..most_members).map(|_| (text(&mut random, 20), text(&mut random, most_bytes)));
        let context: Baggage = members.collect();
        let written = context.to_string();
        let read = Baggage::parse(&written).expect("what is written is well formed");
        let (read, context): (Vec<_>, Vec<_>) =
            (read.sampling_context().collect(), context.sampling_context().collect());
        assert_eq!(read, context[..read.len()]);
        assert!(written.len() <= MOST_BYTES && read.len() <= MOST_MEMBERS);
        cut += usize::from(read.len() < context.len());
    }
    assert!((1..200).contains(&cut), "some are too long: {cut}");
}

/// Bytes that are a header, or are nearly one, or have nothing of one; of up to a megabyte.
fn bytes(header: &dyn Display, random: &mut Rng) -> Vec<u8> {
    let most = match random.u16(..2000) {
        0 => 1 << 20,
        1..40 => 2 * MOST_BYTES,
        _ => 100,
    };
    match random.u8(..8) {
        0 => (0..random.usize(..=most)).map(|_| random.u8(..)).collect(),
        1 => text(random, most).into_bytes(),
        _ => {
            let mut bytes = header.to_string().into_bytes();
            for _ in 0..random.u8(..3) {
                spoil(&mut bytes, most, random);
            }
            bytes
        }
    }
}

/// Changes a header in one place.
fn spoil(bytes: &mut Vec<u8>, most: usize, random: &mut Rng) {
    let at = random.usize(..=bytes.len());
    let odd = if random.bool() { random.u8(..) } else { *random.choice(b"0fF-,=%; \t").expect("there are some") };
    match random.u8(..6) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, odd),
        2 => drop(bytes.drain(at..bytes.len().min(at + 1))),
        3 => bytes.extend(std::iter::repeat_n(odd, random.usize(..=most))),
        // As a proxy joins what came twice.
        4 => bytes.extend([b",", &*bytes.clone()].concat()),
        _ => bytes[at..].iter_mut().take(1).for_each(|byte| *byte = odd),
    }
}

/// Reads what is nearly a header, and has a look at what was believed.
fn believed<T: Display>(
    draw: impl Fn(&mut Rng) -> T,
    parse: impl Fn(&str) -> Option<T>,
    whole: impl Fn(&str, &T) -> bool,
    random: &mut Rng,
) {
    let mut count = 0;
    for _ in 0..ROUNDS {
        let bytes = bytes(&draw(random), random);
        let text = String::from_utf8_lossy(&bytes);
        if let Some(header) = parse(&text) {
            assert!(whole(&text, &header), "{text:?} was half believed: {header}");
            count += 1;
        }
    }
    assert!((ROUNDS / 10..ROUNDS * 19 / 20).contains(&count), "some are well formed and some are not: {count}");
}

// behaviour 29
#[test]
fn whatever_the_bytes_no_header_is_half_believed() {
    let mut random = seeded();
    believed(sentry_trace, SentryTrace::parse, is_whole_sentry_trace, &mut random);
    believed(traceparent, Traceparent::parse, is_whole_traceparent, &mut random);
    believed(baggage, Baggage::parse, is_whole_baggage, &mut random);
}

fn is_whole_sentry_trace(text: &str, header: &SentryTrace) -> bool {
    text.trim_matches([' ', '\t']).eq_ignore_ascii_case(&header.to_string())
}

fn is_whole_traceparent(text: &str, header: &Traceparent) -> bool {
    let (text, written) = (text.trim_matches([' ', '\t']), header.to_string());
    // A later version may have more behind, but not a second header; and flags that are not known yet.
    let ids_and_dashes = 2..53;
    let flags = text.get(53..55).and_then(|flags| u8::from_str_radix(flags, 16).ok());
    text.get(ids_and_dashes.clone()) == written.get(ids_and_dashes)
        && flags.is_some_and(|flags| (flags % 2 == 1) == header.sampled)
        && (text.len() == 55 || !text.starts_with("00") && text[55..].starts_with('-') && !text.contains(','))
}

fn is_whole_baggage(text: &str, header: &Baggage) -> bool {
    let written = header.to_string();
    let there: HashSet<&str> = text.split(',').map(|member| member.trim_matches([' ', '\t'])).collect();
    let read: HashSet<&str> = written.split(',').filter(|member| !member.is_empty()).collect();
    let known = header.sampling_context().count() + header.others().count();
    // Where nothing is beyond the bounds, nothing may be missing but what says the same twice.
    let all = || {
        let keys = |members: &HashSet<&str>| -> HashSet<String> {
            let members = members.iter().filter(|member| !member.is_empty());
            members.filter_map(|member| member.split_once('=')).map(|(key, _)| key.to_owned()).collect()
        };
        keys(&there).iter().all(|key| keys(&read).contains(key) || key.contains('%') || key.ends_with([' ', '\t']))
    };
    let within = text.len() <= MOST_BYTES && text.matches(',').count() < MOST_MEMBERS;
    known <= MOST_MEMBERS
        && written.len() <= MOST_BYTES
        && read.is_subset(&there)
        && !written.contains(|character: char| character.is_control() && character != '\t')
        && (!within || all())
}

// behaviours 28, 29, 30
#[test]
fn whatever_the_bytes_a_trace_is_continued_as_a_whole_or_begins_here() {
    let mut random = seeded();
    // Tracing is off: what came in goes out.
    let harness = Harness::with(|options| options);
    let mut continued = 0;
    for _ in 0..ROUNDS {
        let drawn = sentry_trace(&mut random);
        let context = format!("sentry-trace_id={},{}", drawn.trace_id, baggage(&mut random));
        let (header, context) = (bytes(&drawn, &mut random), bytes(&context, &mut random));
        if header.len().max(context.len()) <= MOST_BYTES {
            let names = [["sentry-trace", "baggage"], ["Sentry-Trace", "BAGGAGE"]][random.usize(..2)];
            continued += usize::from(check([(names[0], &header), (names[1], &context)]));
        }
    }
    assert!(continued > ROUNDS / 10, "{continued}");
    harness.finish();
}

/// Whether the trace was continued.
fn check(headers: [(&str, &Vec<u8>); 2]) -> bool {
    let [header, context] = headers.map(|(_, bytes)| std::str::from_utf8(bytes).ok());
    let scope = continue_trace(headers);
    let outgoing = scope.trace_headers();
    let written = outgoing.sentry_trace().and_then(SentryTrace::parse).expect("a trace has a well-formed header");
    let ours = outgoing.baggage().and_then(Baggage::parse).expect("a trace has a well-formed context");
    assert_eq!(written.trace_id, scope.trace_id());
    let incoming = header.and_then(SentryTrace::parse);
    match incoming {
        Some(incoming) => assert_eq!(written, incoming, "as it came"),
        None => assert_eq!(written.sampled, None, "nobody has decided for a trace that begins here"),
    }
    let theirs = context.and_then(Baggage::parse).filter(|theirs| {
        let named = theirs.get("trace_id").map(str::parse);
        theirs.sampling_context().next().is_some()
            && incoming.is_some_and(|incoming| named.is_none_or(|id| id == Ok(incoming.trace_id)))
    });
    match theirs {
        Some(theirs) => assert!(ours.sampling_context().eq(theirs.sampling_context()), "{ours} for {theirs}"),
        None => assert_eq!(ours.get("trace_id"), Some(&*scope.trace_id().to_string()), "nothing of theirs"),
    }
    incoming.is_some()
}
