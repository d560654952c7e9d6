//! What the fuzz targets need of the inside. Built with `--cfg fuzzing` only.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use crate::attributes::{Key, Value};
use crate::client::{Core, LossReason, Report};
use crate::clock::{Reading, UnixNanos};
use crate::ids::Generator;
use crate::link::Link;
use crate::propagation::{ContextText, Incoming};
use crate::protocol::{
    Added, Around, Common, EnvelopeWriter, Known, Packed, SegmentText, SpanText, constant_attributes,
    thread_attributes, write_report,
};
use crate::record::{Attribute, Rare, Site, SpanRecord};
use crate::sampling::{self, Rate};
use crate::scrub::{Privacy, Scrubber};
use crate::segment::{Segment, Trace, TraceRef};
use crate::testing::{CaptureTransport, Envelope};
use crate::{Options, Runtime, names};

/// Takes pieces off the input, as long as there are any.
struct Pieces<'a>(&'a [u8]);

impl<'a> Pieces<'a> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn text(&mut self) -> Cow<'a, str> {
        let length = usize::from(self.byte()).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text)
    }

    fn value(&mut self) -> Value {
        match self.byte() % 8 {
            0 => Value::of(self.byte() % 2 == 0),
            1 => Value::of(i64::from(self.byte()) << (self.byte() % 64)),
            2 => Value::of(f64::from_bits(u64::from_be_bytes(std::array::from_fn(|_| self.byte())))),
            3 => Value::of([self.text(), self.text()]),
            4 => Value::of([f64::from(self.byte()), f64::NAN]),
            5 => Value::of(u64::MAX - u64::from(self.byte())),
            6 => Value::from_static("static"),
            _ => Value::of(self.text()),
        }
    }

    fn report(&mut self) -> Report {
        let mut report = Report::default();
        for _ in 0..self.byte() % 3 {
            let reason = usize::from(self.byte()) % LossReason::ALL.len();
            report.spans.0[reason] = u64::from(self.byte()) << (self.byte() % 48);
        }
        report
    }

    fn attribute(&mut self) -> Attribute {
        let key = match self.byte() % 8 {
            0 => Key::Borrowed(names::OP),
            1 => Key::Borrowed(names::RELEASE),
            2 => Key::Borrowed(names::SDK_NAME),
            3 => Key::Borrowed("url.full"),
            _ => Key::Owned(self.text().into_owned()),
        };
        Attribute { key, value: self.value() }
    }
}

fn core() -> &'static Arc<Core> {
    static RUNTIME: OnceLock<(Runtime, Arc<Core>)> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        let options = Options::new().transport(CaptureTransport::new()).traces_sample_rate(1.0).release("a\"b@1");
        let runtime = Runtime::new(options).expect("the options are valid");
        let core = runtime.core().expect("it has a transport");
        (runtime, core)
    });
    &made.1
}

/// Writes an envelope out of what the input says, and has the checker look at it.
pub fn envelope(input: &[u8]) {
    let mut pieces = Pieces(input);
    let core = core();
    let mut ids = Generator::seeded();
    let baggage = pieces.text();
    let header = format!("{}-{}-1", ids.trace_id(), ids.span_id());
    let incoming = Incoming::from_headers([("sentry-trace", &*header), ("baggage", &*baggage)]);
    let trace = match incoming {
        Some(incoming) if pieces.byte() % 2 == 0 => Trace::continued(incoming),
        _ => Trace::new(&mut ids),
    };
    let decision = sampling::decide(&trace, Rate::Sampler(f64::from(pieces.byte()) / 255.0), 0);
    let name = Cow::Owned(pieces.text().into_owned());
    let segment = Arc::new(Segment::new(Arc::clone(core), TraceRef::Own(trace), ids.span_id(), decision, name, None));
    let privacy = core.settings.privacy();
    let (every, segments) = constant_attributes(&core.settings, &[]);
    let thread: Common = thread_attributes("1", Some(&pieces.text()));
    let (mut text, mut known, mut trace) = (SegmentText::default(), Known::default(), Vec::new());
    text.turn_to(&segment, privacy);
    segment.write_context(&mut trace, &ContextText::new(&core.settings));
    let around = Around { segment: &text, every: &every, segments: &segments, thread: Some(&thread), privacy };
    let mut writer = EnvelopeWriter::new(Vec::new(), trace.len(), 0);
    let now = UnixNanos::of(SystemTime::now());
    for at in 0..1 + pieces.byte() % 4 {
        let mut attributes: Vec<Attribute> = Vec::new();
        // As in a record, a key stands there once.
        for _ in 0..pieces.byte() % 6 {
            let attribute = pieces.attribute();
            if attributes.iter().all(|other| other.key != attribute.key) {
                attributes.push(attribute);
            }
        }
        let attributes: Vec<Packed> = attributes.into_iter().map(|one| known.pack(one, privacy)).collect();
        let rare = (pieces.byte() % 2 == 0).then(|| {
            let mut rare = Rare { name: Some(Cow::Owned(pieces.text().into_owned())), ..Rare::default() };
            if pieces.byte() % 2 == 0 {
                let link = Link::new(ids.trace_id(), ids.span_id());
                rare.links.push(link.attribute(pieces.text().into_owned(), pieces.text().into_owned()));
            }
            rare
        });
        let record = SpanRecord {
            site: Site::Name("static name"),
            parent_id: (at > 0).then_some(segment.span_id),
            end: Reading::now(),
            start: Reading::now(),
            span_id: if at == 0 { segment.span_id } else { ids.span_id() },
            thread: 0,
            is_segment: at == 0,
            error: pieces.byte() % 2 == 0,
            by_site: false,
        };
        let start = UnixNanos(now.0 - u64::from(pieces.byte()) * 1000);
        let (attributes, rare) = (&*attributes, rare.as_ref());
        let span = SpanText { record: &record, attributes, rare, start, end: UnixNanos(start.0 + 1) };
        let added = writer.add(|buffer| span.write(buffer, around, &mut known));
        assert_eq!(added, Added::Yes);
    }
    let (spans, report) = (writer.spans(), pieces.report());
    let item = (!report.is_empty()).then(|| write_report(&report, now));
    let envelope = writer.finish(&trace, now, item.as_deref());
    match Envelope::parse(envelope.bytes()) {
        Ok(envelope) => {
            assert_eq!(envelope.spans().len(), spans);
            let told: u64 = envelope.client_reports().iter().map(|(_, _, quantity)| quantity).sum();
            assert_eq!(told, report.spans.total());
        }
        Err(violations) => panic!("{violations:#?}\n{}", String::from_utf8_lossy(envelope.bytes())),
    }
}

/// Cleans a text of what a scrubber takes out, and what is clean is clean.
pub fn scrub(input: &[u8]) {
    let mut pieces = Pieces(input);
    let scrubber = Scrubber::new();
    let privacy = Privacy { scrubber: Some(&scrubber), personal: pieces.byte() % 2 == 0 };
    let Attribute { key, value } = pieces.attribute();
    if let Some(once) = privacy.clean(&key, &value) {
        assert_eq!(privacy.clean(&key, &once).as_deref(), Some(&*once), "{key} {value:?}");
    }
    let name = String::from_utf8_lossy(pieces.0);
    let once = privacy.clean_text(&name);
    assert_eq!(privacy.clean_text(&once), once, "{name:?}");
}
