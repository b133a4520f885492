//! The node's own ed25519 key and the file that keeps it.

use alloy_primitives::Bytes;
use entente_chain::NodeId;
use libp2p::identity::{Keypair, ed25519};
use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// More than 64 hex digits, "0x" and a line end is not a key file.
const KEY_FILE_BYTES_MAX: u64 = 128;

/// Why a node key could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The operating system refused.
    #[error("node key file {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// Others may read the file.
    #[error("node key file {}: mode is {mode:o}, 600 expected (chmod 600)", path.display())]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds something else.
    #[error("node key file {}: 64 hex digits of an ed25519 secret expected", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// Whether a node signed a message (ed25519).
#[must_use]
pub fn is_signed_by(node: NodeId, message: &[u8], signature: &[u8]) -> bool {
    ed25519::PublicKey::try_from_bytes(&node.0).is_ok_and(|key| key.verify(message, signature))
}

/// The secret behind a [`NodeId`]. Wiped from memory on drop; never printed.
#[derive(Clone)]
pub struct NodeKey {
    secret: Zeroizing<[u8; 32]>,
    node: NodeId,
}

impl NodeKey {
    /// Takes 32 secret bytes; every value is a key.
    #[must_use]
    pub fn new(secret: Zeroizing<[u8; 32]>) -> Self {
        let node = NodeId(keypair(&secret).public().to_bytes());
        Self { secret, node }
    }

    /// Draws a key from the operating system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        let secret = ed25519::SecretKey::generate();
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.copy_from_slice(secret.as_ref());
        Self::new(bytes)
    }

    /// Reads the key of a file that only its owner may read.
    ///
    /// # Errors
    /// When the file cannot be read, others may read it, or it holds no key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let failed = |cause| KeyError::File { path: path.to_owned(), cause };
        let file = fs::File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Readable { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::with_capacity(usize::from(u8::MAX)));
        file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        let digits = text.trim();
        let mut secret = Zeroizing::new([0; 32]);
        hex::decode_to_slice(digits.strip_prefix("0x").unwrap_or(digits), secret.as_mut_slice())
            .map_err(|_| KeyError::Malformed { path: path.to_owned() })?;
        Ok(Self::new(secret))
    }

    /// Writes the key to a new file with mode 600.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn store(&self, path: &Path) -> Result<(), KeyError> {
        let failed = |cause| KeyError::File { path: path.to_owned(), cause };
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        let text = Zeroizing::new(format!("{}\n", &*self.to_hex()));
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// Reads the key of a file, or makes a key and writes it there when there is no file.
    ///
    /// # Errors
    /// As [`load`](Self::load) and [`store`](Self::store).
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::File { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                let key = Self::generate();
                key.store(path)?;
                Ok(key)
            }
            other => other,
        }
    }

    /// The public half.
    #[must_use]
    pub const fn node_id(&self) -> NodeId {
        self.node
    }

    /// Signs a message (ed25519).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Bytes {
        keypair(&self.secret).sign(message).into()
    }

    /// The secret as hex digits, for writing it elsewhere.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.secret.as_slice()))
    }

    /// The key as libp2p wants it.
    pub(crate) fn keypair(&self) -> Keypair {
        keypair(&self.secret).into()
    }
}

#[expect(clippy::expect_used, reason = "any 32 bytes are an ed25519 secret (RFC 8032, 5.1.5)")]
fn keypair(secret: &Zeroizing<[u8; 32]>) -> ed25519::Keypair {
    let mut copy = Zeroizing::new(**secret);
    ed25519::SecretKey::try_from_bytes(copy.as_mut_slice()).expect("32 bytes").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_key_is_private_and_loads_again() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("node.key");
        let made = NodeKey::load_or_create(&path).expect("created");
        let mode = fs::metadata(&path).expect("file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(NodeKey::load_or_create(&path).expect("loaded").node_id(), made.node_id());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("node.key");
        NodeKey::generate().store(&path).expect("stored");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(matches!(NodeKey::load(&path), Err(KeyError::Readable { mode: 0o644, .. })));
    }

    #[test]
    fn a_file_without_a_key_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("node.key");
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).expect("f");
        file.write_all(b"not a key").expect("written");
        assert!(matches!(NodeKey::load(&path), Err(KeyError::Malformed { .. })));
    }

    /// RFC 8032, 7.1, test 1.
    #[test]
    fn the_node_id_is_the_ed25519_public_key() {
        let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(secret, bytes.as_mut_slice()).expect("hex");
        assert_eq!(
            NodeKey::new(bytes).node_id().to_string(),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
    }
}
