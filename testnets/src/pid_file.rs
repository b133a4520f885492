//! `testnet.pid`: at most one process runs a network.
//!
//! The lock on the file is what counts: the kernel releases it when its process ends, however it
//! ends, so a stale number in the file misleads nobody.

use crate::{error::TestnetError, layout};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write,
    path::Path,
};

/// Held by the process that runs the network.
#[derive(Debug)]
pub(crate) struct PidFile {
    _locked: File,
}

/// Whether somebody runs a network.
#[derive(Debug)]
pub(crate) enum Runner {
    /// Nobody; the lock is now ours.
    Nobody(PidFile),
    /// The process with this number.
    Process(String),
}

/// Takes the lock if it is free.
pub(crate) fn take(dir: &Path) -> Result<Runner, TestnetError> {
    let path = layout::pid_file(dir);
    // Not truncated: whoever holds the lock has its number in there.
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(TestnetError::file("open", &path))?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)
                .and_then(|()| writeln!(file, "{}", std::process::id()))
                .map_err(TestnetError::file("write", &path))?;
            Ok(Runner::Nobody(PidFile { _locked: file }))
        }
        Err(TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(&path).map_err(TestnetError::file("read", &path))?;
            Ok(Runner::Process(pid.trim().to_owned()))
        }
        Err(TryLockError::Error(cause)) => Err(TestnetError::file("lock", path)(cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_taker_learns_the_process_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let Runner::Nobody(held) = take(dir.path()).unwrap() else { panic!("nobody runs it") };
        let Runner::Process(pid) = take(dir.path()).unwrap() else { panic!("it is held") };
        assert_eq!(pid, std::process::id().to_string());
        drop(held);
        assert!(matches!(take(dir.path()).unwrap(), Runner::Nobody(_)));
    }
}
