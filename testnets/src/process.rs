//! The processes of a network: started together, watched, stopped together.

use crate::{
    error::TestnetError,
    layout::{Layout, NodePlace},
    logs::{self, Line},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{path::Path, process::Stdio};
use tokio::{
    process::{Child, Command},
    sync::{mpsc, watch},
    task::JoinSet,
};

/// Log lines on their way to the writer; a node whose lines are not taken waits.
const LINES_MAX: usize = 1024;

/// What the watchers shall do with their processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Run,
    Stop,
    Kill,
}

/// Something that a node did.
#[derive(Debug)]
pub(crate) enum Happening {
    /// It wrote a line.
    Line(Line),
    /// Its process ended.
    Exited {
        /// Number of the node.
        node: usize,
        /// How it ended, in words.
        status: String,
    },
}

/// The running processes. Dropped, it kills those that still run.
pub(crate) struct Processes {
    wish: watch::Sender<Wish>,
    lines: mpsc::Receiver<Line>,
    exits: mpsc::Receiver<(usize, String)>,
    pids: Vec<Option<u32>>,
    alive: usize,
    // Owns the tasks: they end with this.
    _tasks: JoinSet<()>,
}

impl Processes {
    /// Starts `BINARY run --config DIR/node-i/node.toml` for every node. Must be called within a
    /// tokio runtime.
    pub(crate) fn start(layout: &Layout, binary: &Path) -> Result<Self, TestnetError> {
        let (wish, wishes) = watch::channel(Wish::Run);
        let (line_sender, lines) = mpsc::channel(LINES_MAX);
        let (exit_sender, exits) = mpsc::channel(layout.nodes().len().max(1));
        let mut tasks = JoinSet::new();
        let mut pids = Vec::new();
        for (node, place) in layout.nodes().iter().enumerate() {
            let child = spawn(place, binary)?;
            pids.push(child.id());
            let lines = line_sender.clone();
            tasks.spawn(accompany(node, child, lines, wishes.clone(), exit_sender.clone()));
        }
        Ok(Self { wish, lines, exits, alive: pids.len(), pids, _tasks: tasks })
    }

    /// Process ids by node.
    pub(crate) fn pids(&self) -> &[Option<u32>] {
        &self.pids
    }

    /// How many processes have not ended.
    pub(crate) const fn alive(&self) -> usize {
        self.alive
    }

    /// The next thing that a node does; waits for ever when all have ended and all is read.
    /// Lines of a node come before the news of its end.
    pub(crate) async fn next(&mut self) -> Happening {
        tokio::select! {
            biased;
            Some(line) = self.lines.recv() => Happening::Line(line),
            Some((node, status)) = self.exits.recv() => {
                self.alive = self.alive.saturating_sub(1);
                Happening::Exited { node, status }
            }
            else => std::future::pending().await,
        }
    }

    /// Asks every process to stop (SIGTERM).
    pub(crate) fn stop(&self) {
        self.wish.send_replace(Wish::Stop);
    }

    /// Ends every process (SIGKILL).
    pub(crate) fn kill(&self) {
        self.wish.send_replace(Wish::Kill);
    }
}

fn spawn(place: &NodePlace, binary: &Path) -> Result<Child, TestnetError> {
    Command::new(binary)
        .arg("run")
        .arg("--config")
        .arg(place.config())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in the terminal reaches us only; we stop the nodes in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|cause| TestnetError::Start {
            node: place.name.clone(),
            binary: binary.to_owned(),
            cause,
        })
}

/// Passes a process's lines on and then, after the last of them, the news of its end.
async fn accompany(
    node: usize,
    mut child: Child,
    lines: mpsc::Sender<Line>,
    wishes: watch::Receiver<Wish>,
    exits: mpsc::Sender<(usize, String)>,
) {
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let (status, (), ()) = tokio::join!(
        end_of(child, wishes),
        logs::follow(node, output, lines.clone()),
        logs::follow(node, errors, lines),
    );
    // Nobody listens any more when the network is being dropped.
    drop(exits.send((node, status)).await);
}

/// Owns a process until it has ended, and says how it did. Only the owner signals it, so a number
/// that the kernel has given to somebody else is never signalled.
async fn end_of(mut child: Child, mut wishes: watch::Receiver<Wish>) -> String {
    loop {
        tokio::select! {
            status = child.wait() => {
                // "exit status: 1" or "signal: 9 (SIGKILL)"
                return status.map_or_else(|cause| cause.to_string(), |status| status.to_string());
            }
            Ok(()) = wishes.changed() => match *wishes.borrow_and_update() {
                Wish::Run => {}
                Wish::Stop => signal(child.id(), Signal::TERM),
                // Fails only when it has ended already.
                Wish::Kill => drop(child.start_kill()),
            },
        }
    }
}

/// Sends a signal, if the process is still there.
pub(crate) fn signal(pid: Option<u32>, signal: Signal) {
    if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
        // Fails only when it has ended already.
        let _ended = kill_process(pid, signal);
    }
}
