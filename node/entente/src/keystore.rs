//! Secret keys on disk: web3 keystore files (version 3, as geth, cast and MetaMask write them) and
//! plain hexadecimal ones.

use crate::secret_file;
use alloy_primitives::{Address, B256};
use alloy_signer_local::PrivateKeySigner;
use anyhow::{Context, bail};
use k256::elliptic_curve::rand_core::OsRng;
use serde_json::Value;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Largest scrypt cost that is worked out for a file from outside: 1 GiB of memory at r = 8.
const SCRYPT_N_MAX: u64 = 1 << 20;
const SCRYPT_R_MAX: u64 = 16;
const SCRYPT_P_MAX: u64 = 16;
const PBKDF2_C_MIN: u64 = 1000;
const PBKDF2_C_MAX: u64 = 10_000_000;

/// Reads a secret key: a keystore file (needs the password) or 32 bytes of hex.
///
/// # Errors
/// When the file cannot be read, is damaged, or the password is wrong.
pub(crate) fn load(
    path: &Path,
    password: Option<&Zeroizing<String>>,
) -> anyhow::Result<Zeroizing<[u8; 32]>> {
    let text = secret_file::read(path)?;
    if text.trim_start().starts_with('{') {
        let password = password.with_context(|| {
            format!("{} is a keystore file: a password file is needed", path.display())
        })?;
        return decrypt(path, &text, password);
    }
    let mut secret = Zeroizing::new([0; 32]);
    let digits = text.trim().trim_start_matches("0x");
    hex::decode_to_slice(digits, secret.as_mut_slice()).with_context(|| {
        format!("{}: 64 hexadecimal digits or a keystore file are expected", path.display())
    })?;
    Ok(secret)
}

fn decrypt(
    path: &Path,
    text: &str,
    password: &Zeroizing<String>,
) -> anyhow::Result<Zeroizing<[u8; 32]>> {
    let value: Value =
        serde_json::from_str(text).with_context(|| format!("{}: not JSON", path.display()))?;
    check_parameters(&value).with_context(|| path.display().to_string())?;
    let signer = PrivateKeySigner::decrypt_keystore(path, password.as_bytes())
        .map_err(|_| anyhow::anyhow!("{}: wrong password or damaged file", path.display()))?;
    let secret = Zeroizing::new(signer.to_bytes().0);
    if let Some(listed) = value.get("address").and_then(Value::as_str) {
        let address: Address =
            listed.parse().with_context(|| format!("{}: address `{listed}`", path.display()))?;
        if address != signer.address() {
            bail!("{}: lists {address} but holds {}", path.display(), signer.address());
        }
    }
    Ok(secret)
}

/// Bounds everything that costs memory or time before it is spent.
fn check_parameters(keystore: &Value) -> anyhow::Result<()> {
    let crypto = keystore
        .get("crypto")
        .or_else(|| keystore.get("Crypto"))
        .context("crypto: missing, a version 3 keystore has it")?;
    let text = |path: &str| crypto.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let number = |path: &str| crypto.pointer(path).and_then(Value::as_u64);
    let bounded = |path: &str, least: u64, most: u64| match number(path) {
        Some(value) if (least..=most).contains(&value) => Ok(value),
        value => bail!(
            "crypto{}: {} given, {least} to {most} allowed",
            path.replace('/', "."),
            value.map_or_else(|| "nothing usable".to_owned(), |value| value.to_string())
        ),
    };
    if text("/cipher") != "aes-128-ctr" {
        bail!("crypto.cipher: `{}` given, aes-128-ctr is expected", text("/cipher"));
    }
    for (path, digits) in [("/cipherparams/iv", 32), ("/mac", 64), ("/ciphertext", 64)] {
        if text(path).len() != digits {
            bail!("crypto{}: {digits} hexadecimal digits expected", path.replace('/', "."));
        }
    }
    bounded("/kdfparams/dklen", 32, 32)?;
    match text("/kdf") {
        "scrypt" => {
            let cost = bounded("/kdfparams/n", 2, SCRYPT_N_MAX)?;
            if !cost.is_power_of_two() {
                bail!("crypto.kdfparams.n: {cost} given, a power of two is expected");
            }
            bounded("/kdfparams/r", 1, SCRYPT_R_MAX)?;
            bounded("/kdfparams/p", 1, SCRYPT_P_MAX)?;
        }
        "pbkdf2" => {
            bounded("/kdfparams/c", PBKDF2_C_MIN, PBKDF2_C_MAX)?;
        }
        other => bail!("crypto.kdf: `{other}` given, scrypt or pbkdf2 is expected"),
    }
    Ok(())
}

/// Encrypts a key into a new keystore file of a folder, named as geth names them.
///
/// # Errors
/// When the key is no secp256k1 secret, the address has a file already, or the folder cannot be
/// written.
pub(crate) fn store(
    folder: &Path,
    secret: &Zeroizing<[u8; 32]>,
    password: &Zeroizing<String>,
) -> anyhow::Result<(Address, PathBuf)> {
    let signer = PrivateKeySigner::from_bytes(&B256::from(**secret))
        .context("not a secp256k1 secret key")?;
    if let Some((_, existing)) = list(folder)?.into_iter().find(|(a, _)| *a == signer.address()) {
        bail!("{} is already stored in {}", signer.address(), existing.display());
    }
    create_private_folder(folder)?;
    let name = format!("{}.json", hex::encode(signer.address()));
    let scratch = folder.join(format!(".{name}.new"));
    std::fs::create_dir_all(&scratch)?;
    let written = encrypt(&scratch, &signer, secret, password);
    let path = folder.join(&name);
    let stored = written.and_then(|text| secret_file::write_new(&path, &text));
    std::fs::remove_dir_all(&scratch)?;
    stored?;
    Ok((signer.address(), path))
}

/// The library writes the file itself with default permissions, so it does that in a folder that
/// only we can enter, and the text moves into a 0600 file; the address is added as geth does.
fn encrypt(
    scratch: &Path,
    signer: &PrivateKeySigner,
    secret: &Zeroizing<[u8; 32]>,
    password: &Zeroizing<String>,
) -> anyhow::Result<String> {
    create_private_folder(scratch)?;
    PrivateKeySigner::encrypt_keystore(
        scratch,
        &mut OsRng,
        secret.as_slice(),
        password.as_bytes(),
        Some("key"),
    )
    .context("cannot encrypt the key")?;
    let text = std::fs::read_to_string(scratch.join("key"))?;
    let mut value: Value = serde_json::from_str(&text)?;
    value["address"] = hex::encode(signer.address()).into();
    Ok(value.to_string())
}

fn create_private_folder(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
        .with_context(|| format!("cannot restrict {}", folder.display()))
}

/// The keystore files of a folder with the address that each lists.
///
/// # Errors
/// When the folder exists but cannot be read.
pub(crate) fn list(folder: &Path) -> anyhow::Result<Vec<(Address, PathBuf)>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if !path.is_file() {
            continue;
        }
        let Ok(text) = secret_file::read(&path) else { continue };
        let address = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|value| value.get("address")?.as_str()?.parse().ok());
        if let Some(address) = address {
            found.push((address, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}
