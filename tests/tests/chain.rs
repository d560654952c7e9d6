//! Three services in three processes, A calls B calls C: this binary starts itself as each of them. (behaviours 23, 25, 26, 28, 30 to 33)
//!
//! Requests go over HTTP on the loopback address and carry our headers, and the spans go to one receiver.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::panic;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use span_runtime::propagation::{Baggage, SentryTrace};
use span_runtime::testing::{Receiver, Span};
use span_runtime::{Options, Runtime, continue_trace, start_span, trace_headers};
use span_tests::SOON;

span_runtime::lifecycle!(stream);

const TRACE: &str = "771a43a4192642f0b136d5159a501700";
const PARENT: &str = "b7ad6b7169203331";
/// The first argument of a process that is a service; the second one is its settings.
const SERVICE: &str = "--as-service";
const CASES: [(&str, fn()); 6] = [
    ("head_sampled", head_sampled),
    ("head_unsampled", head_unsampled),
    ("deferred", deferred),
    ("sampler_overrides", sampler_overrides),
    ("foreign_organisation", foreign_organisation),
    ("w3c_only", w3c_only),
];
/// What `cargo test` passes on that is followed by something else than the name of a case.
const OPTIONS_WITH_A_VALUE: [&str; 6] = ["--skip", "--test-threads", "--format", "--color", "--logfile", "-Z"];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [first, settings] = arguments.as_slice()
        && first == SERVICE
    {
        serve(&serde_json::from_str(settings).expect("the settings are JSON"));
        return ExitCode::SUCCESS;
    }
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    let is_value = |at: usize| at > 0 && OPTIONS_WITH_A_VALUE.contains(&&*arguments[at - 1]);
    let is_name = |at: usize| !arguments[at].starts_with('-') && !is_value(at);
    let names: Vec<&str> = (0..arguments.len()).filter(|at| is_name(*at)).map(|at| &*arguments[at]).collect();
    let fits = |name: &str, text: &str| if flag("--exact") { name == text } else { name.contains(text) };
    let chosen = |name: &str| names.is_empty() || names.iter().any(|text| fits(name, text));
    let skipped = |name: &str| arguments.windows(2).any(|pair| pair[0] == "--skip" && fits(name, &pair[1]));
    // Nothing here is ignored, so that a run of what is ignored is a run of nothing.
    let cases = CASES.into_iter().filter(|(name, _)| chosen(name) && !skipped(name) && !flag("--ignored"));
    if flag("--list") {
        for (name, _) in cases {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in cases {
        let held = panic::catch_unwind(case).is_ok();
        println!("test {name} ... {}", if held { "ok" } else { "FAILED" });
        *(if held { &mut passed } else { &mut failed }) += 1;
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

// behaviours 23, 25, 28, 30, 32
fn head_sampled() {
    let chain = Chain::run([json!({"rate": 1.0}), json!({"rate": 0.0}), json!({"rate": 0.0})], &[]);
    chain.assert_one_trace();
    chain.assert_one_context();
    chain.assert_decisions([true; 3]);
    chain.assert_linked(None);
    let context = chain.hops[2].context();
    // The head's, and not that of the services which passed it on.
    assert_eq!((&*context["release"], &*context["transaction"]), ("A@1", "segment of A"));
    assert_eq!((&*context["sampled"], &*context["sample_rate"]), ("true", "1"));
}

// behaviours 23, 25, 30, 33
fn head_unsampled() {
    let chain = Chain::run([json!({"rate": 0.0}), json!({"rate": 1.0}), json!({"rate": 1.0})], &[]);
    chain.assert_one_trace();
    chain.assert_one_context();
    chain.assert_decisions([false; 3]);
    let context = chain.hops[2].context();
    assert_eq!((&*context["release"], &*context["sampled"]), ("A@1", "false"));
    assert_eq!(chain.spans, [], "nothing of it is sent");
}

// behaviours 23, 25, 26, 30
fn deferred() {
    // B decides by the number that came in, one way and the other; the head leaves all as it came.
    for (rand, sampled) in [("0.250000", true), ("0.750000", false)] {
        let baggage = format!("sentry-trace_id={TRACE},sentry-sample_rand={rand},sentry-release=app%401");
        let incoming = [("sentry-trace", format!("{TRACE}-{PARENT}")), ("baggage", baggage.clone())];
        let chain = Chain::run(
            [json!({}), json!({"rate": 0.5}), json!({"rate": 1.0 - f64::from(u8::from(sampled))})],
            &incoming,
        );
        chain.assert_one_trace();
        chain.assert_decisions([false, sampled, sampled]);
        let [a, b, c] = &chain.hops;
        assert_eq!(a.sentry_trace().to_string(), format!("{TRACE}-{PARENT}"), "no decision is added");
        assert_eq!(a.baggage(), baggage);
        assert_eq!(a.trace_id(), TRACE);
        // With the rate of the service that decided; the rest is frozen.
        assert_eq!(b.context_but_rate(), a.context_but_rate());
        assert_eq!((&*b.context()["sample_rate"], b.baggage()), ("0.5", c.baggage()));
        chain.assert_sample_rand(rand);
        if sampled {
            assert_eq!(chain.segment("B").parent_span_id.as_deref(), Some(PARENT), "A has no span of its own");
            chain.assert_child_of_call("C", "B");
        }
    }
}

// behaviours 23, 25, 30
fn sampler_overrides() {
    for (head, sampler) in [(0.0, 1.0), (1.0, 0.0), (1.0, 0.5)] {
        let chain = Chain::run([json!({"rate": head}), json!({"sampler": sampler}), json!({"rate": head})], &[]);
        chain.assert_one_trace();
        let [a, b, c] = &chain.hops;
        let rand: f64 = a.context()["sample_rand"].parse().expect("a number");
        let decided = rand < sampler;
        chain.assert_decisions([head == 1.0, decided, decided]);
        chain.assert_sample_rand(&a.context()["sample_rand"]);
        assert_eq!(b.context_but_rate(), a.context_but_rate(), "only the rate is another");
        assert_eq!(b.baggage(), c.baggage());
        let rate = |hop: &Hop| hop.context()["sample_rate"].parse::<f64>().expect("a rate");
        assert_eq!((rate(a), rate(b)), (head, sampler));
        if decided {
            // Without a span of A there is nothing but its id to link to.
            assert_eq!(chain.segment("B").parent_span_id.as_deref(), Some(&*a.sentry_trace().span_id.to_string()));
            chain.assert_child_of_call("C", "B");
        }
    }
}

// behaviours 30, 31
fn foreign_organisation() {
    let settings = |org: &str, rate: f64| json!({"rate": rate, "org_id": org});
    let chain = Chain::run([settings("1", 0.0), settings("2", 1.0), settings("2", 0.0)], &[]);
    let [a, b, c] = &chain.hops;
    assert_ne!(a.trace_id(), b.trace_id(), "B begins a trace");
    assert_eq!(b.trace_id(), c.trace_id());
    chain.assert_decisions([false, true, true]);
    assert_eq!((&*a.context()["org_id"], &*b.context()["org_id"]), ("1", "2"));
    assert_eq!(b.context()["release"], "B@1", "nothing of A's goes on");
    assert_eq!(b.baggage(), c.baggage());
    assert_eq!(chain.segment("B").parent_span_id, None);
    chain.assert_child_of_call("C", "B");
}

// behaviours 23, 25, 28, 32
fn w3c_only() {
    for (flag, sampled) in [("01", true), ("00", false)] {
        let incoming = [("traceparent", format!("00-{TRACE}-{PARENT}-{flag}"))];
        let against = json!({"rate": if sampled { 0.0 } else { 1.0 }});
        let chain = Chain::run([against.clone(), against.clone(), against], &incoming);
        chain.assert_one_trace();
        chain.assert_one_context();
        assert_eq!(chain.hops[0].trace_id(), TRACE);
        chain.assert_decisions([sampled; 3]);
        assert_eq!(chain.hops[2].context()["release"], "A@1", "A is the first that knows of a context");
        if sampled {
            chain.assert_linked(Some(PARENT));
        }
    }
}

/// What came of one request through all three services.
struct Chain {
    hops: [Hop; 3],
    spans: Vec<Span>,
}

/// What a service says of itself.
struct Hop(Value);

impl Chain {
    /// Starts the services, the last one first, and sends a request with these headers to the first.
    fn run(settings: [Value; 3], incoming: &[(&str, String)]) -> Self {
        let receiver = Receiver::start().expect("the loopback address has a free port");
        let mut services = Vec::new();
        let mut next = None;
        for (name, mut settings) in ["A", "B", "C"].into_iter().zip(settings).rev() {
            settings["name"] = name.into();
            settings["dsn"] = receiver.dsn().into();
            settings["next"] = next.into();
            let service = Service::start(&settings);
            next = Some(service.port);
            services.push(service);
        }
        let answer =
            request(next.expect("A has started"), incoming.iter().map(|(name, value)| (*name, value.as_str())));
        for service in &mut services {
            service.wait();
        }
        let hops: Vec<Value> = serde_json::from_str(&answer).expect("a list of hops");
        let hops: [Hop; 3] = hops.into_iter().map(Hop).collect::<Vec<_>>().try_into().ok().expect("three of them");
        // Each service has flushed before it answered.
        assert_eq!(receiver.violations(), [""; 0]);
        let chain = Chain { hops, spans: receiver.spans() };
        chain.assert_spans();
        chain.assert_envelopes(&receiver);
        chain
    }

    /// The spans are those of the services that sampled: a segment and the call of another service below it.
    fn assert_spans(&self) {
        for hop in &self.hops {
            let of_hop: Vec<&Span> =
                self.spans.iter().filter(|span| span.text("server.address") == Some(hop.name())).collect();
            assert_eq!(of_hop.len(), if hop.sampled() { 2 } else { 0 }, "{}", hop.name());
            assert!(of_hop.iter().all(|span| span.trace_id == hop.trace_id()), "{}", hop.name());
        }
    }

    /// The header of each envelope says what goes out as `baggage`.
    fn assert_envelopes(&self, receiver: &Receiver) {
        for envelope in receiver.envelopes().iter().filter(|envelope| !envelope.spans().is_empty()) {
            let name = envelope.spans()[0].text("server.address").expect("a service");
            let hop = self.hops.iter().find(|hop| hop.name() == name).expect("one of the three");
            let header: BTreeMap<String, String> =
                serde_json::from_value(envelope.header["trace"].clone()).expect("a map of texts");
            let mut context = hop.context();
            // The server cannot do without the key: where none came in, the service's own stands in for it.
            context.entry("public_key".into()).or_insert_with(|| header["public_key"].clone());
            assert_eq!(header, context, "{name}");
        }
    }

    fn assert_one_trace(&self) {
        for hop in &self.hops {
            assert_eq!(hop.trace_id(), self.hops[0].trace_id(), "{}", hop.name());
        }
    }

    /// The context is frozen at the head, and the same text at each hop.
    fn assert_one_context(&self) {
        for hop in &self.hops {
            assert_eq!(hop.baggage(), self.hops[0].baggage(), "{}", hop.name());
        }
        self.assert_sample_rand(&self.hops[0].context()["sample_rand"]);
    }

    fn assert_sample_rand(&self, rand: &str) {
        for hop in &self.hops {
            assert_eq!(hop.context()["sample_rand"], rand, "{}", hop.name());
        }
    }

    fn assert_decisions(&self, sampled: [bool; 3]) {
        assert_eq!(self.hops.each_ref().map(Hop::sampled), sampled);
        for hop in self.hops.iter().filter(|hop| hop.records()) {
            assert_eq!(hop.sentry_trace().sampled, Some(hop.sampled()), "{} says so", hop.name());
        }
    }

    /// Each segment is the child of the call in the service before, and the first one of this span.
    fn assert_linked(&self, parent: Option<&str>) {
        assert_eq!(self.segment("A").parent_span_id.as_deref(), parent);
        self.assert_child_of_call("B", "A");
        self.assert_child_of_call("C", "B");
    }

    fn assert_child_of_call(&self, callee: &str, caller: &str) {
        let call = self.span(&format!("call of {caller}"));
        assert_eq!(self.segment(callee).parent_span_id.as_ref(), Some(&call.span_id));
        assert_eq!(call.parent_span_id.as_ref(), Some(&self.segment(caller).span_id));
    }

    fn segment(&self, service: &str) -> &Span {
        let segment = self.span(&format!("segment of {service}"));
        assert!(segment.is_segment);
        segment
    }

    fn span(&self, name: &str) -> &Span {
        self.spans
            .iter()
            .find(|span| span.name == name)
            .unwrap_or_else(|| panic!("{name} is not among {:?}", self.spans))
    }
}

impl Hop {
    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_else(|| panic!("no {key} in {}", self.0))
    }

    fn name(&self) -> &str {
        self.text("name")
    }

    fn trace_id(&self) -> &str {
        self.text("trace_id")
    }

    fn sampled(&self) -> bool {
        self.0["sampled"].as_bool().expect("a boolean")
    }

    /// Whether tracing is on.
    fn records(&self) -> bool {
        self.0["records"].as_bool().expect("a boolean")
    }

    fn sentry_trace(&self) -> SentryTrace {
        let header = SentryTrace::parse(self.text("sentry-trace")).expect("a well-formed header");
        assert_eq!(header.trace_id.to_string(), self.trace_id());
        header
    }

    fn baggage(&self) -> &str {
        self.text("baggage")
    }

    fn context(&self) -> BTreeMap<String, String> {
        let baggage = Baggage::parse(self.baggage()).expect("a well-formed header");
        baggage.sampling_context().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn context_but_rate(&self) -> BTreeMap<String, String> {
        let mut context = self.context();
        context.remove("sample_rate");
        context
    }
}

/// A process that answers one request; it is killed where the test ends before that.
struct Service {
    process: Child,
    port: u16,
}

impl Service {
    fn start(settings: &Value) -> Self {
        let this = env::current_exe().expect("the path of this binary");
        let mut command = Command::new(this);
        command.args([SERVICE, &settings.to_string()]).stdout(Stdio::piped());
        let mut service = Service { process: command.spawn().expect("this binary runs"), port: 0 };
        let mut output = BufReader::new(service.process.stdout.take().expect("it is piped"));
        let (said, heard) = mpsc::channel();
        // Ends with the process, which closes the pipe.
        thread::spawn(move || {
            let mut line = String::new();
            let read = output.read_line(&mut line);
            // Fails if nobody waits any more.
            let _ = said.send(read.map(|_| line));
        });
        let line = heard.recv_timeout(SOON).expect("it says its port in time").expect("it prints text");
        service.port = line.trim().parse().expect("a port");
        service
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(status) = self.process.try_wait().expect("it is our child") {
                return assert!(status.success(), "{status}");
            }
            assert!(Instant::now() < deadline, "a service does not end");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail if it has ended and was waited for, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Says its port, answers one request with what it and the services behind it say of themselves, and ends.
fn serve(settings: &Value) {
    // Whoever started this may be gone without a request.
    thread::spawn(|| {
        thread::sleep(2 * SOON);
        std::process::exit(2);
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback address has a free port");
    println!("{}", listener.local_addr().expect("it is bound").port());
    let runtime = Runtime::new(options(settings)).expect("the options are valid");
    let _entered = runtime.enter();
    let (mut stream, _) = listener.accept().expect("a request");
    let mut hops = answer(settings, read_headers(&stream));
    assert!(runtime.flush(SOON), "everything is sent in time");
    hops[0]["records"] = (runtime.stats().started > 0).into();
    let body = Value::from(hops).to_string();
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .expect("somebody reads it");
}

fn options(settings: &Value) -> Options {
    let name = settings["name"].as_str().expect("a name");
    let mut options =
        Options::new().dsn(settings["dsn"].as_str().expect("a DSN")).release(format!("{name}@1")).server_name(name);
    if let Some(rate) = settings["rate"].as_f64() {
        options = options.traces_sample_rate(rate);
    }
    if let Some(rate) = settings["sampler"].as_f64() {
        options = options.traces_sampler(move |_| rate);
    }
    if let Some(org_id) = settings["org_id"].as_str() {
        options = options.org_id(org_id);
    }
    options
}

/// Serves a request in a segment, and calls the next service from a span below it.
fn answer(settings: &Value, headers: Vec<(String, String)>) -> Vec<Value> {
    let name = settings["name"].as_str().expect("a name");
    let _entered = continue_trace(headers).enter();
    let segment = start_span(format!("segment of {name}")).start();
    let call = start_span(format!("call of {name}")).start();
    let outgoing = trace_headers();
    let header = outgoing.sentry_trace().and_then(SentryTrace::parse).expect("there is a trace");
    let mut hop = json!({"name": name, "trace_id": header.trace_id.to_string(), "sampled": segment.is_sampled()});
    for (name, value) in &outgoing {
        hop[name] = value.into();
    }
    let mut hops = vec![hop];
    if let Some(next) = settings["next"].as_u64() {
        let body = request(u16::try_from(next).expect("a port"), &outgoing);
        hops.extend(serde_json::from_str::<Vec<Value>>(&body).expect("a list of hops"));
    }
    drop((call, segment));
    hops
}

fn read_headers(stream: &TcpStream) -> Vec<(String, String)> {
    stream.set_read_timeout(Some(SOON)).expect("a time above zero");
    let lines = BufReader::new(stream).lines().map(|line| line.expect("a request arrives whole"));
    let headers = lines.skip(1).take_while(|line| !line.is_empty());
    let pair = |line: String| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    headers.map(|line| pair(line).expect("a name and a value")).collect()
}

/// The body of the answer to a request with these headers.
fn request<'n, 'v>(port: u16, headers: impl IntoIterator<Item = (&'n str, &'v str)>) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the service listens");
    stream.set_read_timeout(Some(SOON)).expect("a time above zero");
    let headers: String = headers.into_iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(stream, "GET / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").expect("the service reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the service answers in time");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.to_owned()
}
