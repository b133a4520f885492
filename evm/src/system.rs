//! What the protocol itself does in a block, before and after its transactions: block hash and
//! beacon root contracts, withdrawals, rewards, requests to the consensus layer.

use crate::{BlockError, block_run::BlockRun};
use alloy_consensus::Header;
use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS,
    eip4788::BEACON_ROOTS_ADDRESS,
    eip4895::Withdrawal,
    eip6110::{DEPOSIT_REQUEST_TYPE, MAINNET_DEPOSIT_CONTRACT_ADDRESS},
    eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_TYPE},
    eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_TYPE},
    eip7685::{EMPTY_REQUESTS_HASH, Requests},
};
use alloy_primitives::{Address, B256, Bytes, Log, U256, b256};
use entente_chain::{
    extra_data::{istanbul::IstanbulExtra, qbft::QbftExtra, raft::RaftExtra},
    fork::Fork,
    spec::{Beneficiary, EngineKind},
};
use revm::context_interface::result::ExecutionResult;

const ETHER: u64 = 1_000_000_000_000_000_000;
const GWEI: u64 = 1_000_000_000;
/// Topic of the deposit contract's `DepositEvent`.
const DEPOSIT_TOPIC: B256 =
    b256!("0x649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");
/// EIP-6110: the five fields of a deposit: offset of the length word and length in bytes.
const DEPOSIT_FIELDS: [(usize, usize); 5] = [(160, 48), (256, 32), (320, 8), (384, 96), (512, 8)];
const DEPOSIT_BYTES: usize = 576;

/// EIP-4788 and EIP-2935, before the first transaction.
pub(crate) fn begin(run: &mut BlockRun<'_>, header: &Header) -> Result<(), BlockError> {
    if header.number == 0 {
        return Ok(());
    }
    if run.facts.fork >= Fork::Cancun
        && let Some(root) = header.parent_beacon_block_root
    {
        run.system_call(BEACON_ROOTS_ADDRESS, root.0.into())?;
    }
    if run.facts.fork >= Fork::Prague {
        run.system_call(HISTORY_STORAGE_ADDRESS, header.parent_hash.0.into())?;
    }
    Ok(())
}

/// Requests, withdrawals and rewards, after the last transaction. Gives the requests hash, `None`
/// before Prague.
pub(crate) fn finish(
    run: &mut BlockRun<'_>,
    header: &Header,
    ommers: &[Header],
    withdrawals: &[Withdrawal],
    author: Address,
) -> Result<Option<B256>, BlockError> {
    let requests = requests(run)?;
    if run.facts.is_ethereum() {
        for withdrawal in withdrawals {
            let wei = U256::from(withdrawal.amount).saturating_mul(U256::from(GWEI));
            run.state().add_balance(withdrawal.address, wei)?;
        }
        proof_of_work_reward(run, header, ommers)?;
    } else if is_of_goquorum_raft(run, header) {
        proof_of_work_reward(run, header, ommers)?;
    } else {
        configured_reward(run, header, author)?;
    }
    Ok(requests)
}

/// EIP-7685. Our engines have no consensus layer beside them: their requests are always empty.
fn requests(run: &mut BlockRun<'_>) -> Result<Option<B256>, BlockError> {
    if run.facts.fork < Fork::Prague {
        return Ok(None);
    }
    if !run.facts.is_ethereum() {
        return Ok(Some(EMPTY_REQUESTS_HASH));
    }
    let mut requests = Requests::default();
    let deposits = deposits(run)?;
    if !deposits.is_empty() {
        requests.push_request_with_type(DEPOSIT_REQUEST_TYPE, deposits);
    }
    for (contract, kind) in [
        (WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_TYPE),
        (CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_TYPE),
    ] {
        let output = request_output(run, contract)?;
        if !output.is_empty() {
            requests.push_request_with_type(kind, output);
        }
    }
    Ok(Some(requests.requests_hash()))
}

fn request_output(run: &mut BlockRun<'_>, contract: Address) -> Result<Bytes, BlockError> {
    let failed = |cause: &str| BlockError::SystemCall { contract, cause: cause.into() };
    match run.system_call(contract, Bytes::new())? {
        Some(ExecutionResult::Success { output, .. }) => Ok(output.into_data()),
        Some(ExecutionResult::Revert { .. }) => Err(failed("execution reverted")),
        Some(ExecutionResult::Halt { reason, .. }) => Err(failed(&reason.to_string())),
        None => Err(failed("no code")),
    }
}

/// EIP-6110: deposits in order of their logs.
fn deposits(run: &BlockRun<'_>) -> Result<Vec<u8>, BlockError> {
    let mut bytes = Vec::new();
    for (index, receipt) in run.receipts.iter().enumerate() {
        for log in receipt.logs.iter().filter(|log| is_deposit(log)) {
            deposit(&log.data.data, &mut bytes).ok_or(BlockError::Deposit { index })?;
        }
    }
    Ok(bytes)
}

fn is_deposit(log: &Log) -> bool {
    log.address == MAINNET_DEPOSIT_CONTRACT_ADDRESS && log.topics().first() == Some(&DEPOSIT_TOPIC)
}

fn deposit(data: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let word = |at: usize| U256::try_from_be_slice(data.get(at..at.checked_add(32)?)?);
    if data.len() != DEPOSIT_BYTES {
        return None;
    }
    for (index, (offset, length)) in DEPOSIT_FIELDS.into_iter().enumerate() {
        if word(index * 32)? != U256::from(offset) || word(offset)? != U256::from(length) {
            return None;
        }
        out.extend_from_slice(data.get(offset + 32..offset + 32 + length)?);
    }
    Some(())
}

/// GoQuorum's Raft pays the reward of proof of work (raft/minter.go `AccumulateRewards`); our Raft
/// blocks, which name a term, do not.
fn is_of_goquorum_raft(run: &BlockRun<'_>, header: &Header) -> bool {
    run.facts.rules.engine == EngineKind::Raft
        && RaftExtra::decode(&header.extra_data).is_ok_and(|extra| extra.term.is_none())
}

/// Yellow Paper 11.3, until the merge.
fn proof_of_work_reward(
    run: &mut BlockRun<'_>,
    header: &Header,
    ommers: &[Header],
) -> Result<(), BlockError> {
    let ether = match run.facts.fork {
        fork if fork >= Fork::Paris => return Ok(()),
        fork if fork >= Fork::Constantinople => 2,
        fork if fork >= Fork::Byzantium => 3,
        _ => 5,
    };
    let reward = U256::from(ETHER).saturating_mul(U256::from(ether));
    let parts = |part: u64, of: u64| {
        reward.saturating_mul(U256::from(part)).checked_div(U256::from(of)).unwrap_or_default()
    };
    for ommer in ommers {
        let depth = header.number.saturating_sub(ommer.number);
        run.state().add_balance(ommer.beneficiary, parts(8_u64.saturating_sub(depth), 8))?;
    }
    let nephews = parts(ommers.len() as u64, 32);
    Ok(run.state().add_balance(header.beneficiary, reward.saturating_add(nephews))?)
}

/// GoQuorum's and Besu's block reward, where one is configured.
fn configured_reward(
    run: &mut BlockRun<'_>,
    header: &Header,
    author: Address,
) -> Result<(), BlockError> {
    let reward = run.facts.rules.block_reward;
    if reward.is_zero() {
        return Ok(());
    }
    let addresses = match run.facts.rules.beneficiary.clone() {
        Beneficiary::Proposer => vec![author],
        Beneficiary::Fixed(address) => vec![address],
        Beneficiary::List(addresses) => addresses,
        Beneficiary::Validators => validators(run.facts.rules.engine, header, author),
    };
    let share = reward.checked_div(U256::from(addresses.len())).unwrap_or_default();
    for address in addresses {
        run.state().add_balance(address, share)?;
    }
    Ok(())
}

/// The validators that an IBFT header names; other headers name none, there the author stands alone.
fn validators(engine: EngineKind, header: &Header, author: Address) -> Vec<Address> {
    let listed = match engine {
        EngineKind::Qbft => QbftExtra::decode(&header.extra_data).map(|extra| extra.validators),
        EngineKind::Istanbul => {
            IstanbulExtra::decode(&header.extra_data).map(|extra| extra.validators)
        }
        EngineKind::Clique | EngineKind::Raft | EngineKind::Ethereum => Ok(Vec::new()),
    };
    let listed = listed.ok().filter(|validators| !validators.is_empty());
    listed.unwrap_or_else(|| vec![author])
}
