//! A Redis of this program's own, where `redis-server` is installed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failed;

pub(crate) const ROLE: &str = "redis";

const SERVER: &str = "redis-server";

/// How long it may take to start.
const START: Duration = Duration::from_secs(20);

/// Whether there is one to be started. It listens on a socket in the file system, which only Unix has.
pub(crate) fn is_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    cfg!(unix) && std::env::split_paths(&path).any(|folder| folder.join(SERVER).is_file())
}

/// Runs it until standard input ends. The line that it prints is the URL.
pub(crate) fn run() -> Result<(), Failed> {
    let mut server = Server::start()?;
    let url = format!("redis+unix://{}", server.socket().display());
    let (client, until) = (redis::Client::open(url.as_str())?, Instant::now() + START);
    while let Err(error) = client.get_connection() {
        if server.process.try_wait()?.is_some() || Instant::now() > until {
            return Err(format!("{SERVER} did not start: {error}").into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    println!("{url}");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

/// It ends, and its directory goes, when this is dropped.
struct Server {
    process: Child,
    folder: PathBuf,
}

impl Server {
    /// Starts it without a port, so that nobody else comes upon it, and with nothing written to disk.
    fn start() -> Result<Self, Failed> {
        let folder = std::env::temp_dir().join(format!("shop-redis-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut command = Command::new(SERVER);
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocketperm", "700"]);
        command.arg("--unixsocket").arg(socket(&folder)).arg("--dir").arg(&folder);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let process = process.map_err(|error| {
            _ = fs::remove_dir(&folder);
            format!("{SERVER}: {error}")
        })?;
        Ok(Server { process, folder })
    }

    fn socket(&self) -> PathBuf {
        socket(&self.folder)
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("redis.sock")
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
        _ = fs::remove_dir_all(&self.folder);
    }
}
