//! The ten funded accounts that every Ethereum tool knows.

use alloy_primitives::{Address, B256};
use alloy_signer_local::{MnemonicBuilder, coins_bip39::English};
use serde::{Deserialize, Serialize};

/// Public on purpose: everybody's scripts work, and nobody may keep anything of worth there.
pub const DEV_MNEMONIC: &str = "test test test test test test test test test test test junk";
/// Balance of each funded account at genesis, in ether.
pub const DEV_BALANCE_ETHER: u64 = 10_000;
const ACCOUNTS: u32 = 10;

/// A funded account whose key everybody knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevAccount {
    /// Its address.
    pub address: Address,
    /// Its secret key.
    pub private_key: B256,
}

/// Accounts `m/44'/60'/0'/0/0` to `9` of [`DEV_MNEMONIC`].
///
/// # Panics
/// Never in practice: phrase and path are constants.
#[must_use]
pub fn dev_accounts() -> Vec<DevAccount> {
    (0..ACCOUNTS)
        .map(|index| {
            #[expect(clippy::expect_used, reason = "a constant phrase and path, under test")]
            let signer = MnemonicBuilder::<English>::try_from_phrase_nth(DEV_MNEMONIC, index)
                .expect("constant phrase");
            DevAccount { address: signer.address(), private_key: signer.to_bytes() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{address, b256};

    /// First and last line of what `anvil` and `hardhat node` print.
    #[test]
    fn accounts_are_those_that_other_tools_print() {
        let accounts = dev_accounts();
        assert_eq!(accounts.len(), 10);
        let first = DevAccount {
            address: address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
            private_key: b256!(
                "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
            ),
        };
        let last = DevAccount {
            address: address!("0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"),
            private_key: b256!(
                "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6"
            ),
        };
        assert_eq!((accounts.first(), accounts.last()), (Some(&first), Some(&last)));
    }
}
