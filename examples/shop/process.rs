//! This program in its other roles.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failed;

/// How long a process may take to end, once its standard input has.
const END: Duration = Duration::from_secs(20);

/// A process that runs as long as its standard input is open: it ends with this one, however this one ends.
pub(crate) struct Process {
    role: &'static str,
    child: Child,
    output: BufReader<ChildStdout>,
    /// The first line that it printed.
    pub(crate) ready: String,
}

impl Process {
    /// Starts this program in a role, and waits until it is ready.
    pub(crate) fn start(role: &'static str, variables: &[(&str, &str)]) -> Result<Self, Failed> {
        let mut command = Command::new(env::current_exe()?);
        // A cache is what the driver says, not what is set for itself.
        command.arg(role).env_remove("REDIS_URL").envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C is for this process alone: the others end as it does.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(|error| format!("{role} cannot be started: {error}"))?;
        let output = child.stdout.take().ok_or("its output was asked for")?;
        let mut process = Process { role, child, output: BufReader::new(output), ready: String::new() };
        process.ready = process.line()?;
        Ok(process)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it, and gives the line that it printed last.
    pub(crate) fn end(mut self) -> Result<String, Failed> {
        let ended = self.ask_to_end();
        let line = self.line();
        if ended { line } else { Err(format!("{} does not end", self.role).into()) }
    }

    fn line(&mut self) -> Result<String, Failed> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let text = line.strip_suffix('\n').ok_or_else(|| format!("{} ended early", self.role))?;
        Ok(text.to_owned())
    }

    fn ask_to_end(&mut self) -> bool {
        drop(self.child.stdin.take());
        let until = Instant::now() + END;
        while Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ask_to_end() {
            _ = self.child.kill();
            _ = self.child.wait();
        }
    }
}
