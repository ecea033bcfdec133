//! A child process and all that it starts: one process group, which ends as a whole.
//!
//! ```text
//! stdin closed ── 2 s ──▶ TERM to the group ── 2 s ──▶ KILL to the group ──▶ reaped
//!        └─ exits by itself ──▶ KILL to what it left behind ──▶ reaped
//! ```

use std::{fmt, io, os::unix::process::ExitStatusExt as _, process::ExitStatus, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::{
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a child gets at each step of its end.
const GRACE: Duration = Duration::from_secs(2);

/// A child process. When this is dropped, the group is ended in the background.
#[derive(Debug)]
pub(super) struct Process {
    end: CancellationToken,
    exit: watch::Receiver<Option<Exit>>,
}

/// The pipes of a child.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// How a child ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit(Option<ExitStatus>);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => write!(f, "exit code {code}"),
                (None, Some(signal)) => write!(f, "signal {signal}"),
                (None, None) => f.write_str("an unknown status"),
            },
            None => f.write_str("an unknown status"),
        }
    }
}

impl Process {
    /// Starts `command` as the leader of a process group, which ends when `end` is cancelled.
    /// `tasks` knows when it has. `keep` is dropped then: its private folder, for instance.
    pub(super) fn spawn(
        command: &mut Command,
        end: CancellationToken,
        tasks: &TaskTracker,
        keep: impl Send + 'static,
    ) -> io::Result<(Self, Pipes)> {
        use std::process::Stdio;
        let mut child = command
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("a pipe is missing"));
        };
        let (exited, exit) = watch::channel(None);
        tasks.spawn(supervise(child, end.clone(), exited, keep));
        Ok((Self { end, exit }, Pipes { stdin, stdout, stderr }))
    }

    /// Begins to end the group. The child's stdin must be closed first, by whoever holds it.
    pub(super) fn end(&self) {
        self.end.cancel();
    }

    /// Whether the child has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.exit.borrow().is_some()
    }

    /// Waits until the group has ended.
    pub(super) async fn ended(&self) -> Exit {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await;
        ended.ok().and_then(|exit| *exit).unwrap_or(Exit(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

async fn supervise(
    mut child: Child,
    end: CancellationToken,
    exited: watch::Sender<Option<Exit>>,
    keep: impl Send,
) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let status = tokio::select! {
        status = child.wait() => status,
        () = end.cancelled() => finish(&mut child, group).await,
    };
    // Grandchildren outlive a clean exit of the child.
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
        for _ in 0..100 {
            if test_kill_process_group(group).is_err() {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
    drop(keep);
    let _ = exited.send(Some(Exit(status.ok())));
}

async fn finish(child: &mut Child, group: Option<Pid>) -> io::Result<ExitStatus> {
    for signal in [Signal::TERM, Signal::KILL] {
        if let Ok(status) = timeout(GRACE, child.wait()).await {
            return status;
        }
        match group {
            Some(group) => {
                let _ = kill_process_group(group, signal);
            }
            None => child.start_kill()?,
        }
    }
    child.wait().await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, BufReader};

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test starts what it tests")]
    async fn shell(script: &str) -> (Process, ChildStdin, String) {
        let mut command = Command::new("sh");
        let command = command.args(["-c", script]);
        let (end, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (process, pipes) = Process::spawn(command, end, &tasks, ()).unwrap();
        let mut line = String::new();
        BufReader::new(pipes.stdout).read_line(&mut line).await.unwrap();
        (process, pipes.stdin, line.trim().to_owned())
    }

    fn lives(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[tokio::test]
    async fn a_child_that_reads_its_stdin_ends_with_it() {
        let (process, stdin, _) = shell("echo ready; cat").await;
        drop(stdin);
        process.end();
        assert_eq!(process.ended().await.to_string(), "exit code 0");
    }

    #[tokio::test]
    async fn grandchildren_end_with_a_child_that_exits_by_itself() {
        let (process, _stdin, grandchild) = shell("sleep 1000 & echo $!; exit 3").await;
        assert_eq!(process.ended().await.to_string(), "exit code 3");
        assert!(!lives(&grandchild));
    }

    #[tokio::test]
    async fn a_child_that_ignores_all_else_is_killed_with_its_children() {
        let script = "trap '' TERM; sh -c \"trap '' TERM; while :; do sleep 1; done\" & echo $!; \
                      while :; do sleep 1; done";
        let (process, stdin, grandchild) = shell(script).await;
        drop(stdin);
        process.end();
        assert_eq!(process.ended().await.to_string(), "signal 9");
        assert!(!lives(&grandchild));
    }
}
