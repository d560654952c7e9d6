//! Servers that tests run against: real ones, from the binaries on the `PATH`, each on a port and in a directory of its own.
//!
//! A server ends with the process that started it, however that ends. Where a binary is missing the tests that need it are
//! skipped, which they say; in continuous integration, where `CI` is set, that fails them.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

/// How long a server may take to start; the machine may be busy.
const START: Duration = Duration::from_secs(60);

/// Where servers listen.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;

/// Runs a server until the pipe from the process of the tests ends, which it does with that process; then removes the directory.
const KEEPER: &str = r#"directory=$1; shift
"$@" > "$directory/log" 2>&1 < /dev/null & server=$!
read -r _
kill -s INT "$server"; wait "$server"; rm -rf "$directory""#;

/// A database server.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The pipe is open as long as this is.
    _keeper: Child,
}

impl Server {
    /// PostgreSQL, the one of this process, with a superuser `app` who has no password, and a database `postgres`; `None` if it is not installed.
    ///
    /// # Panics
    ///
    /// When it does not start, and in continuous integration when it is not installed.
    pub fn postgres() -> Option<&'static Self> {
        static POSTGRES: OnceLock<Option<Server>> = OnceLock::new();
        let server = POSTGRES.get_or_init(|| Some(start_postgres(&found("initdb")?, &found("postgres")?)));
        server.as_ref().or_else(|| skipped("postgres and initdb, of PostgreSQL"))
    }

    /// Redis, the one of this process; `None` if it is not installed.
    ///
    /// # Panics
    ///
    /// As [`postgres`](Self::postgres).
    pub fn redis() -> Option<&'static Self> {
        static REDIS: OnceLock<Option<Server>> = OnceLock::new();
        let server = REDIS.get_or_init(|| Some(start_redis(&found("redis-server")?)));
        server.as_ref().or_else(|| skipped("redis-server"))
    }
}

/// Says so where the harness of the tests captures nothing.
fn skipped(missing: &str) -> Option<&'static Server> {
    assert!(env::var_os("CI").is_none(), "not on the PATH: {missing}");
    let test = thread::current().name().unwrap_or_default().to_owned();
    let _gone = writeln!(io::stderr(), "SKIPPED, {test}: not on the PATH: {missing}");
    None
}

/// The binary of this name.
fn found(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn start_postgres(initdb: &Path, postgres: &Path) -> Server {
    let directory = directory("postgres");
    let (data, account) = (directory.join("data"), account());
    fs::create_dir(&data).expect("the directory is new");
    if let Some(account) = account {
        for folder in [&directory, &data] {
            run(Command::new("chown").arg(account).arg(folder));
        }
    }
    let initialise = ["--username=app", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--pgdata"];
    run(as_account(account, initdb).args(initialise).arg(&data).current_dir(&directory));

    let port = free_port();
    let mut server = as_account(account, postgres);
    server.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-k", "", "-F", "-p", &port.to_string()]);
    // The last line of this file says whether connections are taken.
    let state = data.join("postmaster.pid");
    let is_ready = || fs::read_to_string(&state).is_ok_and(|text| text.trim_end().ends_with("ready"));
    keep(&server, &directory, port, is_ready)
}

fn start_redis(redis: &Path) -> Server {
    let directory = directory("redis");
    let port = free_port();
    let mut server = Command::new(redis);
    server.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()]);
    server.arg("--dir").arg(&directory);
    keep(&server, &directory, port, || answers_ping(port))
}

fn answers_ping(port: u16) -> bool {
    let mut answer = [0; 7];
    let mut ping = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        stream.read_exact(&mut answer)
    };
    ping().is_ok() && &answer == b"+PONG\r\n"
}

/// Starts it, and waits until it takes connections.
fn keep(server: &Command, directory: &Path, port: u16, is_ready: impl Fn() -> bool) -> Server {
    let mut keeper = Command::new("sh");
    keeper.args(["-c", KEEPER, "sh"]).arg(directory).arg(server.get_program()).args(server.get_args());
    keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir(directory);
    let keeper = keeper.spawn().expect("there is a shell");
    let end = Instant::now() + START;
    while !is_ready() {
        let log = || fs::read_to_string(directory.join("log")).unwrap_or_default();
        assert!(Instant::now() < end, "{} does not start: {}", server.get_program().display(), log());
        thread::sleep(Duration::from_millis(20));
    }
    Server { addr: (Ipv4Addr::LOCALHOST, port).into(), _keeper: keeper }
}

/// A new directory.
fn directory(name: &str) -> PathBuf {
    for number in 0.. {
        let directory = env::temp_dir().join(format!("span-{name}-{}-{number}", std::process::id()));
        match fs::create_dir(&directory) {
            Ok(()) => return directory,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => panic!("{}: {error}", directory.display()),
        }
    }
    unreachable!("there are enough numbers");
}

/// A port that was free just now, and that no connection is given by itself, as those above these are, until the server has it.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut tries = (0..PORTS).map(|_| {
        let number = std::process::id().wrapping_mul(7).wrapping_add(NEXT.fetch_add(1, Relaxed));
        FIRST_PORT + (number % u32::from(PORTS)) as u16
    });
    tries.find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()).expect("a port is free")
}

/// Whose account PostgreSQL runs under where this one is root's, which it refuses.
fn account() -> Option<&'static str> {
    let mine = output(Command::new("id").arg("-u"))?;
    if mine.trim() != "0" {
        return None;
    }
    ["postgres", "nobody"].into_iter().find(|name| output(Command::new("id").args(["-u", name])).is_some())
}

fn as_account(account: Option<&str>, program: &Path) -> Command {
    let Some(account) = account else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.args(["--reuid", account, "--clear-groups"]).arg(program);
    command
}

/// What a command prints, if it succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
