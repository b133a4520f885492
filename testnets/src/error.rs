//! What can go wrong with a test network, in words for whoever typed the command.

use crate::options::OptionError;
use std::{io, path::PathBuf};

/// Why a command on a test network failed.
#[derive(Debug, thiserror::Error)]
pub enum TestnetError {
    /// An option is outside its bounds.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// A file or folder of the network cannot be used.
    #[error("cannot {action} {}: {cause}", .path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        cause: io::Error,
    },
    /// A file of the network does not hold what it should.
    #[error("{} holds no {expected}: {cause}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// Why that is not so.
        cause: String,
    },
    /// The folder's network was made with another value of an option.
    #[error(
        "{} holds a network with {option} = {stored}, but {asked} was asked for: \
         take another folder, or remove this one to begin anew", .dir.display()
    )]
    OptionDiffers {
        /// Folder of the network.
        dir: PathBuf,
        /// Name of the option.
        option: String,
        /// Value that the network was made with.
        stored: String,
        /// Value that was asked for now.
        asked: String,
    },
    /// The folder holds no network.
    #[error("{} holds no test network (no testnet.json in it)", .0.display())]
    NoNetwork(PathBuf),
    /// A port is taken by somebody else.
    #[error(
        "port {port} ({purpose}) cannot be used: {cause}; choose another --base-port, or stop what \
         an earlier run left behind with `entente testnet down`"
    )]
    Port {
        /// The port on loopback.
        port: u16,
        /// Node and use of it.
        purpose: String,
        /// The operating system's reason.
        cause: io::Error,
    },
    /// The network already runs.
    #[error("{} already runs, started by process {pid}", .dir.display())]
    AlreadyRunning {
        /// Folder of the network.
        dir: PathBuf,
        /// Process that runs it.
        pid: String,
    },
    /// The process that runs the network did not stop.
    #[error("process {pid} was told to stop and still runs after {seconds} s")]
    StillRunning {
        /// The process.
        pid: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The genesis could not be made.
    #[error("cannot make the genesis: {0}")]
    Genesis(String),
    /// A key could not be made.
    #[error("cannot make a key: {0}")]
    Key(String),
    /// A node's process could not be started.
    #[error("cannot start {node} with {}: {cause}", .binary.display())]
    Start {
        /// Name of the node.
        node: String,
        /// The program.
        binary: PathBuf,
        /// The operating system's reason.
        cause: io::Error,
    },
    /// A node ended before the network was ready.
    #[error("{node} ended before the network was ready: {status}")]
    ExitedEarly {
        /// Name of the node.
        node: String,
        /// How its process ended.
        status: String,
    },
    /// The network was not ready in time.
    #[error("not ready after {seconds} s: {reasons}")]
    NotReady {
        /// How long was waited.
        seconds: u64,
        /// What was still missing, by node.
        reasons: String,
    },
    /// Every node has ended on its own.
    #[error("all nodes have ended")]
    AllExited,
}

impl TestnetError {
    /// For `map_err` after an operation on `path`.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::File { action, path, cause }
    }
}
