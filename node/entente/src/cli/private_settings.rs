//! `[privacy]` and `[accounts]` of the configuration: files are read, keys are opened.

use crate::{
    keystore,
    private_node::{PrivateSettings, Resident},
    secret_file,
};
use alloy_primitives::keccak256;
use anyhow::{Context, bail};
use entente_chain::{
    private::{PrivateStateId, RecipientKey},
    signer::SealSigner,
};
use entente_config::{AccountsConfig, PrivacyConfig};
use entente_rpc::StateAccess;
use std::path::PathBuf;

/// The private side of a node; `None`: it takes no part in private transactions.
pub(super) fn private(config: &PrivacyConfig) -> anyhow::Result<Option<PrivateSettings>> {
    let (Some(keys), Some(password)) = (&config.key_folder, &config.password_file) else {
        return Ok(None);
    };
    let default_sender = config
        .default_key
        .as_deref()
        .map(|key| key.parse::<RecipientKey>().with_context(|| "privacy.default_key".to_owned()));
    let mut residents = config
        .states
        .iter()
        .map(|text| resident(text).with_context(|| format!("privacy.states: `{text}`")))
        .collect::<anyhow::Result<Vec<_>>>()?;
    for text in &config.state_tokens {
        token(text, &mut residents).with_context(|| format!("privacy.state_tokens: `{text}`"))?;
    }
    Ok(Some(PrivateSettings {
        keys: keys.clone(),
        password: secret_file::read_password(password).context("privacy.password_file")?,
        default_sender: default_sender.transpose()?,
        residents,
    }))
}

fn resident(text: &str) -> anyhow::Result<Resident> {
    let (name, keys) = text.split_once('=').context("NAME=KEY;KEY is expected")?;
    let keys = keys.split(';').map(str::trim).filter(|key| !key.is_empty());
    let keys: Vec<RecipientKey> = keys.map(str::parse).collect::<Result<_, _>>()?;
    Ok(Resident { id: id(name)?, keys, token: None })
}

fn id(name: &str) -> anyhow::Result<PrivateStateId> {
    PrivateStateId::new(name.trim()).with_context(|| {
        format!("`{name}`: up to 64 letters, digits, `-`, `_` and `.` are expected")
    })
}

fn token(text: &str, residents: &mut Vec<Resident>) -> anyhow::Result<()> {
    let (name, path) = text.split_once('=').context("NAME=PATH is expected")?;
    let id = id(name)?;
    let secret = secret_file::read_password(&PathBuf::from(path))?;
    if secret.len() < 16 {
        bail!("{path}: a token of {} characters, at least 16 are expected", secret.len());
    }
    let token = Some(keccak256(secret.as_bytes()));
    match residents.iter_mut().find(|resident| resident.id == id) {
        Some(resident) => resident.token = token,
        None if id == PrivateStateId::default_state() => {
            residents.push(Resident { id, keys: Vec::new(), token });
        }
        None => bail!("{id} is not in privacy.states"),
    }
    Ok(())
}

/// What callers of the server may choose.
pub(super) fn access(private: Option<&PrivateSettings>) -> Vec<StateAccess> {
    let residents = private.map_or(&[][..], |private| &private.residents);
    let access =
        |resident: &Resident| StateAccess { id: resident.id.clone(), token: resident.token };
    residents.iter().map(access).collect()
}

/// Accounts that the node signs for.
pub(super) fn accounts(config: &AccountsConfig) -> anyhow::Result<Vec<SealSigner>> {
    let (Some(folder), Some(password)) = (&config.keystore, &config.password_file) else {
        return Ok(Vec::new());
    };
    let password = secret_file::read_password(password).context("accounts.password_file")?;
    let mut signers = Vec::new();
    for (_, path) in keystore::list(folder)? {
        let secret = keystore::load(&path, Some(&password))?;
        signers.push(SealSigner::new(&secret).with_context(|| path.display().to_string())?);
    }
    Ok(signers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_state_has_a_name_and_keys() {
        let (a, b) = (RecipientKey([1; 32]), RecipientKey([255; 32]));
        let parsed = resident(&format!("PS1={a}; {b}")).unwrap();
        assert_eq!((parsed.id.as_str(), parsed.keys), ("PS1", vec![a, b]));
        for wrong in ["PS1", "a b=", "PS1=x"] {
            assert!(resident(wrong).is_err(), "{wrong}");
        }
    }
}
