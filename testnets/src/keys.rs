//! Keys of a node, generated once: 32 random bytes as hex, readable by the owner only.

use crate::{error::TestnetError, layout::NodePlace};
use alloy_primitives::Address;
use entente_chain::{NodeId, signer::SealSigner};
use libp2p::identity::Keypair;
use rand::{TryRngCore, rngs::OsRng};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};
use zeroize::Zeroizing;

/// Who a node is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Its network identity.
    pub(crate) node: NodeId,
    /// Its address as a validator.
    pub(crate) validator: Address,
}

/// Reads a node's keys; makes those that are not there yet.
pub(crate) fn identity(place: &NodePlace) -> Result<Identity, TestnetError> {
    let node = node_id(&place.node_key())?;
    let path = place.validator_key();
    let secret = load_or_generate(&path)?;
    let signer = SealSigner::new(&secret).map_err(|cause| TestnetError::Content {
        path,
        expected: "validator key",
        cause: cause.to_string(),
    })?;
    Ok(Identity { node, validator: signer.address() })
}

fn node_id(path: &Path) -> Result<NodeId, TestnetError> {
    let mut secret = load_or_generate(path)?;
    let broken = |cause: String| TestnetError::Content {
        path: path.to_owned(),
        expected: "ed25519 key",
        cause,
    };
    // `ed25519_from_bytes` wipes what it is given.
    Keypair::ed25519_from_bytes(secret.as_mut_slice())
        .map_err(|cause| broken(cause.to_string()))?
        .public()
        .try_into_ed25519()
        .map(|public| NodeId(public.to_bytes()))
        .map_err(|cause| broken(cause.to_string()))
}

/// Reads 32 secret bytes; makes them where there is no file.
pub(crate) fn load_or_generate(path: &Path) -> Result<Zeroizing<[u8; 32]>, TestnetError> {
    match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => {
            let mut secret = Zeroizing::new([0; 32]);
            hex::decode_to_slice(text.trim(), secret.as_mut_slice()).map_err(|cause| {
                let expected = "key of 32 bytes in hex";
                TestnetError::Content { path: path.to_owned(), expected, cause: cause.to_string() }
            })?;
            Ok(secret)
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => generate(path),
        Err(cause) => Err(TestnetError::file("read", path)(cause)),
    }
}

fn generate(path: &Path) -> Result<Zeroizing<[u8; 32]>, TestnetError> {
    let mut secret = Zeroizing::new([0; 32]);
    OsRng
        .try_fill_bytes(secret.as_mut_slice())
        .map_err(|cause| TestnetError::Key(cause.to_string()))?;
    let text = Zeroizing::new(hex::encode(secret.as_slice()) + "\n");
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(TestnetError::file("write", path))?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn place(dir: &Path) -> NodePlace {
        NodePlace { name: "node-0".to_owned(), dir: dir.to_owned(), rpc_port: 1, p2p_port: 2 }
    }

    #[test]
    fn keys_are_made_once_and_only_the_owner_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        let first = identity(&place).unwrap();
        assert_eq!(identity(&place).unwrap(), first);
        for path in [place.node_key(), place.validator_key()] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    /// RFC 8032, 7.1, test 1: the file holds the seed, the identity is the public key.
    #[test]
    fn node_id_is_the_ed25519_public_key_of_the_seed() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        fs::write(place.node_key(), seed).unwrap();
        assert_eq!(
            identity(&place).unwrap().node.to_string(),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
    }

    #[test]
    fn broken_key_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        fs::write(place.validator_key(), "abc").unwrap();
        let text = identity(&place).unwrap_err().to_string();
        assert!(text.contains("validator.key holds no key of 32 bytes in hex"), "{text}");
    }
}
