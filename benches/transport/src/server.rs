//! The server: this program again, as a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use span_tests::endpoint::{Endpoint, accept_all};
use span_tests::tls::{Authority, serve as serve_tls};

/// Says to the child that it is one, and whether to serve by TLS.
const VARIABLE: &str = "BENCH_TRANSPORT_SERVER";

/// The process, as its parent sees it.
pub(crate) struct Server {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    pub(crate) port: u16,
    /// The authority that certified it.
    pub(crate) authority: String,
    /// A file with that.
    pub(crate) bundle: PathBuf,
}

impl Server {
    pub(crate) fn start(tls: bool) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("the path of this program"))
            .env(VARIABLE, if tls { "tls" } else { "plain" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program runs");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("it says its port");
        let port = line.trim().parse().expect("a port");
        let mut authority = String::new();
        while !authority.ends_with("-----END CERTIFICATE-----\n") {
            output.read_line(&mut authority).expect("it says its authority");
        }
        let bundle = std::env::temp_dir().join(format!("bench-transport-{}.pem", child.id()));
        std::fs::write(&bundle, &authority).expect("the temporary folder can be written to");
        Server { child, output, port, authority, bundle }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it; how many connections it has had.
    pub(crate) fn stop(mut self) -> String {
        drop(self.child.stdin.take());
        let mut connections = String::new();
        self.output.read_to_string(&mut connections).expect("it says how many");
        self.child.wait().expect("it ends");
        // Left behind where it cannot be removed.
        let _ = std::fs::remove_file(&self.bundle);
        connections.trim().to_owned()
    }
}

pub(crate) fn is_child() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Serves until the parent closes the pipe.
pub(crate) fn serve() {
    let authority = Authority::new();
    let config = Arc::new(authority.certify("localhost", 4000));
    let tls = std::env::var(VARIABLE).is_ok_and(|kind| kind == "tls");
    let endpoint =
        Endpoint::start(
            move |mut stream, _| {
                if tls { serve_tls(stream, &config, |_| {}) } else { accept_all(&mut stream, |_| {}) }
            },
        );
    let mut output = std::io::stdout();
    write!(output, "{}\n{}", endpoint.addr().port(), authority.pem()).expect("the parent reads");
    output.flush().expect("the parent reads");
    std::io::stdin().read_to_end(&mut Vec::new()).expect("it ends");
    println!("{}", endpoint.accepted());
}
