//! Sends many short traces to a server on loopback, by each transport, and prints what that costs.
//!
//! `cargo run --release -p bench-transport --bin transport [SECONDS] [TRACES A SECOND]`
//!
//! Each trace is a root with nine children, and one envelope. The server is a process of its own, so that CPU time is told apart: this process's
//! holds the threads that make spans and the flusher as well, which do the same in every row; the first row, a transport that sends nothing, is
//! what they take.
//!
//! minreq believes public authorities only, and no server on loopback has a certificate of theirs. So over TLS a connection for each envelope is
//! measured by ureq told to keep none, on the same rustls; minreq adds a thread a request to that, which the rows without TLS show.
#![forbid(unsafe_code)]

mod server;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs;
use span_runtime::transport::{Response, Transport, TransportError};
use span_runtime::{Options, Runtime, Stats, start_span};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use server::Server;

/// Children of each root.
const CHILDREN: usize = 9;

/// Sends nothing.
struct Nowhere;

impl Transport for Nowhere {
    fn send(&mut self, _: &[u8]) -> Result<Response, TransportError> {
        Ok(Response::new(200))
    }
}

/// A connection for each envelope.
struct Unpooled {
    agent: ureq::Agent,
    url: String,
}

impl Unpooled {
    fn new(server: &Server) -> Self {
        let authority = Certificate::from_pem(server.authority.as_bytes()).expect("the server wrote it");
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(vec![authority]))
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .build();
        let config = ureq::Agent::config_builder().max_idle_connections(0).proxy(None).tls_config(tls).build();
        Unpooled { agent: config.into(), url: format!("https://localhost:{}/api/42/envelope/", server.port) }
    }
}

impl Transport for Unpooled {
    fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError> {
        let answer = self.agent.post(&self.url).send(envelope);
        answer
            .map(|answer| Response::new(answer.status().as_u16()))
            .map_err(|error| TransportError::new(error.to_string()))
    }
}

/// Makes traces at a steady rate, and waits until all of them are sent.
fn run(options: Options, seconds: u64, rate: u64) -> (Stats, Duration) {
    let runtime = Runtime::new(options.traces_sample_rate(1.0)).expect("the options are valid");
    let before = cpu(&read("/proc/self/stat"));
    {
        let _entered = runtime.enter();
        let begin = Instant::now();
        for at in 0..seconds * rate {
            let due = Duration::from_nanos(at * 1_000_000_000 / rate);
            std::thread::sleep(due.saturating_sub(begin.elapsed()));
            let _root = start_span("request").attribute("http.request.method", "GET").start();
            for child in 0..CHILDREN {
                start_span("query").attribute("at", child).start().end();
            }
        }
    }
    runtime.flush(Duration::from_secs(60));
    (runtime.stats(), cpu(&read("/proc/self/stat")).saturating_sub(before))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).expect("Linux has it")
}

/// CPU time from `/proc/<pid>/stat`, whose clock ticks a hundred times a second.
fn cpu(stat: &str) -> Duration {
    // Behind the name, which may hold spaces: the twelfth and thirteenth are user's and system's.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

fn argument(at: usize, default: u64) -> Option<u64> {
    std::env::args().nth(at).map_or(Some(default), |text| text.parse().ok().filter(|number| *number > 0))
}

fn main() -> ExitCode {
    if server::is_child() {
        server::serve();
        return ExitCode::SUCCESS;
    }
    let (Some(seconds), Some(rate)) = (argument(1, 10), argument(2, 1000)) else {
        eprintln!("the seconds, and the traces a second, are whole numbers above 0");
        return ExitCode::from(2);
    };
    println!("{rate} traces a second for {seconds} s, {} spans each; CPU time in ms a second of traces", CHILDREN + 1);
    println!("{:<42} {:>8} {:>8} {:>12} {:>10} {:>10}", "", "here", "server", "connections", "sent", "lost");
    let dsn = |server: &Server, scheme: &str| format!("{scheme}://{}@localhost:{}/42", "0".repeat(32), server.port);
    type Make = Box<dyn Fn(&Server) -> Options>;
    let rows: [(&str, bool, Make); 5] = [
        ("nothing is sent", false, Box::new(|_| Options::new().transport(Nowhere))),
        (
            "HTTP, default: a connection an envelope",
            false,
            Box::new(move |server| Options::new().dsn(dsn(server, "http"))),
        ),
        ("HTTP, pooled", false, Box::new(move |server| Options::new().dsn(dsn(server, "http")).pooled_transport(true))),
        (
            "TLS, a connection an envelope (ureq)",
            true,
            Box::new(|server| Options::new().transport(Unpooled::new(server))),
        ),
        (
            "TLS, pooled",
            true,
            Box::new(move |server| {
                Options::new().dsn(dsn(server, "https")).pooled_transport(true).ca_certs(&server.bundle)
            }),
        ),
    ];
    for (name, tls, options) in rows {
        let server = Server::start(tls);
        let (stats, here) = run(options(&server), seconds, rate);
        let there = cpu(&read(&format!("/proc/{}/stat", server.id())));
        let connections = server.stop();
        let a_second = |time: Duration| time.as_millis() as f64 / seconds as f64;
        println!(
            "{name:<42} {:8.0} {:8.0} {connections:>12} {:>10} {:>10}",
            a_second(here),
            a_second(there),
            stats.sent,
            stats.lost.total()
        );
    }
    ExitCode::SUCCESS
}
