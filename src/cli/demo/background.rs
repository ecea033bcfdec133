//! A process that runs beside the demo, and all that it starts.

use std::{
    io,
    os::unix::process::CommandExt as _,
    process::{Child, Command},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

/// It ends, with its process group, when this is dropped.
#[derive(Debug)]
pub(super) struct Background {
    child: Child,
}

impl Background {
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        Ok(Self { child: command.process_group(0).spawn()? })
    }
}

impl Background {
    /// The number of the process group.
    pub(super) fn group(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let signal = |signal| group.map(|group| kill_process_group(group, signal));
        signal(Signal::TERM);
        for _ in 0..50 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        signal(Signal::KILL);
        let _ = self.child.wait();
    }
}
