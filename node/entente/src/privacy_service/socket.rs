//! The unix socket: its owner's only, from the first moment.

use anyhow::{Context as _, bail};
use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::{UnixListener as StdListener, UnixStream},
    },
    path::{Path, PathBuf},
};
use tokio::net::UnixListener;

/// A bound socket; its file goes when this is dropped.
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(cause) = fs::remove_file(&self.0) {
            tracing::debug!(%cause, path = %self.0.display(), "the socket was gone already");
        }
    }
}

/// Listens at a path with mode 0600. What a process left there that was killed is replaced; a socket
/// that answers, or another file, is not.
///
/// # Errors
/// When somebody else is there or the socket cannot be made.
pub(super) fn bind(path: &Path) -> anyhow::Result<(UnixListener, SocketFile)> {
    let at = || format!("q2t.socket: {}", path.display());
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            bail!("{}: there is a file that is no socket", at());
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            bail!("{}: another process listens there", at());
        }
        Ok(_) | Err(_) => {}
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or_else(|| Path::new("."));
    // Nobody else can enter this folder, so nobody connects before the mode is set.
    let folder = tempfile::Builder::new().prefix(".q2t").tempdir_in(parent).with_context(at)?;
    let hidden = folder.path().join("s");
    let listener = StdListener::bind(&hidden).with_context(at)?;
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o600)).with_context(at)?;
    fs::rename(&hidden, path).with_context(at)?;
    let file = SocketFile(path.to_owned());
    listener.set_nonblocking(true).with_context(at)?;
    Ok((UnixListener::from_std(listener).with_context(at)?, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_its_owners_and_replaces_only_a_dead_one() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("tm.ipc");
        let (listener, file) = bind(&path).expect("bound");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(bind(&path).is_err(), "somebody listens there");
        drop(listener);
        std::mem::forget(file);
        let (_listener, file) = bind(&path).expect("the dead one is replaced");
        drop(file);
        assert!(!path.exists());
        fs::write(&path, "mine").expect("written");
        assert!(bind(&path).is_err());
        assert_eq!(fs::read(&path).expect("there"), b"mine");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1, "nothing is left over");
    }
}
