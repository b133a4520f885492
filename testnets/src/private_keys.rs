//! What a node of a network with private transactions has beside its other keys: the key that
//! payloads are encrypted to, and a funded account that it signs for.

use crate::{
    accounts::{DevAccount, dev_accounts},
    error::TestnetError,
    keys::load_or_generate,
    layout::NodePlace,
};
use alloy_primitives::Address;
use alloy_signer_local::PrivateKeySigner;
use entente_chain::private::RecipientKey;
use entente_privacy::{KdfCost, KeyStore, Randomness};
use k256::elliptic_curve::rand_core::OsRng;
use serde_json::Value;
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};
use zeroize::Zeroizing;

/// The password lies beside the keys, so guessing it need not cost anything; nodes start at once.
const COST: KdfCost = KdfCost { memory_kib: 1024, iterations: 1, parallelism: 1 };

/// Who a node is in private transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PrivateIdentity {
    /// Where payloads for it are encrypted to.
    pub(crate) key: RecipientKey,
    /// The account it signs for.
    pub(crate) account: Address,
}

/// Reads the private keys of node `index`; makes those that are not there yet.
pub(crate) fn private_identity(
    place: &NodePlace,
    index: usize,
) -> Result<PrivateIdentity, TestnetError> {
    let path = place.private_password();
    let password = Zeroizing::new(hex::encode(load_or_generate(&path)?.as_slice()));
    let broken = |cause: String| TestnetError::Content {
        path: place.privacy_keys(),
        expected: "privacy key",
        cause,
    };
    let store = KeyStore::new(place.privacy_keys(), COST);
    let stored = store.list().map_err(|cause| broken(cause.to_string()))?;
    let key = match stored.first() {
        Some(key) => *key,
        None => {
            let random =
                Randomness::from_os().map_err(|cause| TestnetError::Key(cause.to_string()))?;
            let made = store.create(&password, &random);
            made.map_err(|cause| broken(cause.to_string()))?.public()
        }
    };
    let accounts = dev_accounts();
    let account = accounts.get(index % accounts.len().max(1));
    let account = account.ok_or_else(|| TestnetError::Key("there is no account".to_owned()))?;
    keep_account(&place.accounts(), account, &password)?;
    Ok(PrivateIdentity { key, account: account.address })
}

/// Writes a keystore file as geth has them, if there is none.
fn keep_account(
    folder: &Path,
    account: &DevAccount,
    password: &Zeroizing<String>,
) -> Result<(), TestnetError> {
    let name = format!("{}.json", hex::encode(account.address));
    let path = folder.join(&name);
    if path.exists() {
        return Ok(());
    }
    let make = |folder: &Path| {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(TestnetError::file("make", folder))
    };
    make(folder)?;
    // The library gives the file default permissions, and leaves the address out.
    let scratch = folder.join("new");
    make(&scratch)?;
    let secret = account.private_key.as_slice();
    PrivateKeySigner::encrypt_keystore(
        &scratch,
        &mut OsRng,
        secret,
        password.as_bytes(),
        Some("key"),
    )
    .map_err(|cause| TestnetError::Key(cause.to_string()))?;
    let text = fs::read(scratch.join("key")).map_err(TestnetError::file("read", &scratch))?;
    let mut keystore: Value =
        serde_json::from_slice(&text).map_err(|cause| TestnetError::Key(cause.to_string()))?;
    if let Some(fields) = keystore.as_object_mut() {
        fields.insert("address".to_owned(), hex::encode(account.address).into());
    }
    fs::remove_dir_all(&scratch).map_err(TestnetError::file("remove", &scratch))?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| {
            file.write_all(keystore.to_string().as_bytes())?;
            file.sync_all()
        })
        .map_err(TestnetError::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn private_keys_are_made_once_and_open_with_the_password() {
        let dir = tempfile::tempdir().unwrap();
        let place = NodePlace {
            name: "node-1".to_owned(),
            dir: dir.path().to_owned(),
            rpc_port: 1,
            p2p_port: 2,
        };
        let made = private_identity(&place, 11).unwrap();
        assert_eq!(private_identity(&place, 11).unwrap(), made);
        assert_eq!(made.account, dev_accounts()[1].address);
        let password = fs::read_to_string(place.private_password()).unwrap();
        let password = Zeroizing::new(password.trim().to_owned());
        let opened = KeyStore::new(place.privacy_keys(), COST).open(&password).unwrap();
        assert_eq!(opened.parties.first().unwrap().public(), made.key);

        let files: Vec<_> =
            fs::read_dir(place.accounts()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&files[0]), mode(&place.accounts())), (0o600, 0o700));
        assert_eq!((mode(&place.private_password()), mode(&place.privacy_keys())), (0o600, 0o700));
        let signer = PrivateKeySigner::decrypt_keystore(&files[0], password.as_bytes()).unwrap();
        assert_eq!(signer.address(), made.account);
    }
}
