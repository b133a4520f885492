use super::*;
use crate::testing::{MemoryState, executor, parent, spec};
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_rpc_types_eth::{TransactionInput, state::AccountOverride};
use entente_chain::{Account, fork::Fork, spec::EngineKind};
use std::sync::Arc;

const ALICE: Address = Address::repeat_byte(0xa1);
const TARGET: Address = Address::repeat_byte(0x7a);

/// return(sload(calldataload(0)))
const READ: [u8; 11] = [0x60, 0x00, 0x35, 0x54, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00];
/// jumpdest; push1 0; jump
const LOOP: [u8; 4] = [0x5b, 0x60, 0x00, 0x56];

fn read_code() -> Vec<u8> {
    [&READ[..], &[0xf3]].concat()
}

/// Reverts with `Error("no")`.
fn revert_code() -> Vec<u8> {
    let mut data = vec![0x08, 0xc3, 0x79, 0xa0];
    data.extend(U256::from(32).to_be_bytes::<32>());
    data.extend(U256::from(2).to_be_bytes::<32>());
    data.extend(b"no");
    // codecopy(0, 12, len); revert(0, len)
    let mut code = vec![0x60, 70, 0x60, 12, 0x60, 0, 0x39, 0x60, 70, 0x60, 0, 0xfd];
    code.extend(data);
    code
}

fn request(to: Address) -> TransactionRequest {
    TransactionRequest { to: Some(TxKind::Call(to)), from: Some(ALICE), ..Default::default() }
}

fn context<'a>(header: &'a SealedHeader, state: &'a MemoryState) -> CallContext<'a> {
    CallContext {
        header,
        state,
        gas_cap: 50_000_000,
        time_limit: Duration::from_secs(60),
        private: None,
        state_overrides: None,
        block_overrides: None,
    }
}

fn call(state: &MemoryState, request: &TransactionRequest) -> Result<CallResult, CallError> {
    executor(Fork::Osaka).call(&context(&parent(), state), request)
}

fn estimate(state: &MemoryState, request: &TransactionRequest) -> Result<u64, CallError> {
    executor(Fork::Osaka).estimate_gas(&context(&parent(), state), request)
}

#[test]
fn a_call_reads_the_state() {
    let state = MemoryState::default().contract(TARGET, &read_code(), 0).slot_is(TARGET, 0, 42);
    let result = call(&state, &request(TARGET)).unwrap();
    assert_eq!(U256::from_be_slice(&result.output), U256::from(42));
}

#[test]
fn overrides_hide_the_state() {
    let state = MemoryState::default().slot_is(TARGET, 0, 42).slot_is(TARGET, 1, 43);
    let slot = |value: u8| [(B256::ZERO, B256::with_last_byte(value))].into_iter().collect();
    let run = |account: AccountOverride, slot: u8| {
        let overrides = [(TARGET, account.with_code(read_code()))].into_iter().collect();
        let header = parent();
        let context = CallContext { state_overrides: Some(&overrides), ..context(&header, &state) };
        let request = TransactionRequest {
            input: TransactionInput::new(B256::with_last_byte(slot).0.into()),
            ..request(TARGET)
        };
        let output = executor(Fork::Osaka).call(&context, &request).unwrap().output;
        U256::from_be_slice(&output)
    };
    // The account itself does not exist in this state: it has no storage that could shine through.
    let whole = AccountOverride { state: Some(slot(7)), ..Default::default() };
    assert_eq!(run(whole.clone(), 0), U256::from(7));
    assert_eq!(run(whole, 1), U256::ZERO);
    let diff = AccountOverride { state_diff: Some(slot(8)), ..Default::default() };
    assert_eq!(run(diff, 0), U256::from(8));
}

#[test]
fn overrides_are_bounded_and_must_not_contradict_themselves() {
    let state = MemoryState::default();
    let header = parent();
    let run = |overrides: StateOverride| {
        let context = CallContext { state_overrides: Some(&overrides), ..context(&header, &state) };
        executor(Fork::Osaka).call(&context, &request(TARGET)).unwrap_err().to_string()
    };
    let many =
        (0..=1_000_u64).map(|n| (Address::left_padding_from(&n.to_be_bytes()), Default::default()));
    assert_eq!(run(many.collect()), "state overrides: accounts: 1001 given, 1000 allowed");
    let both = AccountOverride {
        state: Some(Default::default()),
        state_diff: Some(Default::default()),
        ..Default::default()
    };
    let text = run([(TARGET, both)].into_iter().collect());
    assert!(text.ends_with("has both 'state' and 'stateDiff'"), "{text}");
}

#[test]
fn block_fields_can_be_overridden() {
    // return(number())
    let code = [0x43, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00, 0xf3];
    let state = MemoryState::default().contract(TARGET, &code, 0);
    let overrides = BlockOverrides { number: Some(U256::from(u64::MAX)), ..Default::default() };
    let header = parent();
    let context = CallContext { block_overrides: Some(&overrides), ..context(&header, &state) };
    let output = executor(Fork::Osaka).call(&context, &request(TARGET)).unwrap().output;
    assert_eq!(U256::from_be_slice(&output), U256::from(u64::MAX));
}

#[test]
fn a_revert_carries_its_data_and_reason() {
    let state = MemoryState::default().contract(TARGET, &revert_code(), 0);
    for refused in [
        call(&state, &request(TARGET)).unwrap_err(),
        estimate(&state, &request(TARGET)).unwrap_err(),
    ] {
        assert_eq!(refused.to_string(), "execution reverted: no");
        let CallError::Reverted { output, .. } = refused else { panic!("{refused:?}") };
        assert_eq!(output, revert_code()[12..]);
    }
}

#[test]
fn an_endless_loop_runs_out_of_gas_or_time() {
    let state = MemoryState::default().contract(TARGET, &LOOP, 0);
    let small = TransactionRequest { gas: Some(100_000), ..request(TARGET) };
    assert_eq!(call(&state, &small).unwrap_err().to_string(), "out of gas");
    let header = parent();
    let context = CallContext {
        gas_cap: u64::MAX / 2,
        time_limit: Duration::from_millis(20),
        ..context(&header, &state)
    };
    let late = executor(Fork::Osaka).call(&context, &request(TARGET)).unwrap_err();
    assert_eq!(late.to_string(), "execution aborted (timeout = 20ms)");
    let loops = TransactionRequest { gas: Some(90_000), ..request(TARGET) };
    assert_eq!(
        estimate(&state, &loops).unwrap_err().to_string(),
        "gas required exceeds allowance (90000)"
    );
}

#[test]
fn gas_is_clamped_to_the_cap() {
    // return(gas())
    let code = [0x5a, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00, 0xf3];
    let state = MemoryState::default().contract(TARGET, &code, 0);
    let request = TransactionRequest { gas: Some(u64::MAX / 2), ..request(TARGET) };
    let left = U256::from_be_slice(&call(&state, &request).unwrap().output);
    assert_eq!(left, U256::from(50_000_000 - 21_000 - 2));
}

#[test]
fn data_and_input_may_be_equal_but_not_differ() {
    let state = MemoryState::default();
    let with = |input: &'static [u8], data: &'static [u8]| TransactionRequest {
        input: TransactionInput { input: Some(input.into()), data: Some(data.into()) },
        ..request(TARGET)
    };
    assert!(call(&state, &with(b"same", b"same")).is_ok());
    let refused = call(&state, &with(b"one", b"other")).unwrap_err();
    assert!(matches!(&refused, CallError::Request(text) if text.starts_with("both \"data\"")));
}

#[test]
fn who_pays_must_have_it() {
    let state = MemoryState::default();
    let paid = TransactionRequest { gas_price: Some(1), gas: Some(30_000), ..request(TARGET) };
    let text = call(&state, &paid).unwrap_err().to_string().to_lowercase();
    assert!(text.starts_with("insufficient funds for gas * price + value: address 0xa1"), "{text}");
    let gift = TransactionRequest { value: Some(U256::ONE), ..request(TARGET) };
    let text = call(&state, &gift).unwrap_err().to_string();
    assert!(text.ends_with("have 0 want 1"), "{text}");
    let huge = TransactionRequest {
        gas_price: Some(u128::MAX),
        value: Some(U256::MAX),
        ..request(TARGET)
    };
    assert!(matches!(call(&state, &huge), Err(CallError::Invalid(_))));
    assert!(matches!(estimate(&state, &huge), Err(CallError::Invalid(_))));
}

#[test]
fn a_plain_transfer_costs_21000() {
    assert_eq!(estimate(&MemoryState::default(), &request(TARGET)), Ok(21_000));
}

#[test]
fn an_estimate_is_enough_and_close() {
    // sstore(0, 1) twenty times over different slots, then a call of itself with little gas.
    let mut code = Vec::new();
    for slot in 0..20 {
        code.extend([0x60, 1, 0x60, slot, 0x55]);
    }
    let state = MemoryState::default().contract(TARGET, &code, 0);
    let gas = estimate(&state, &request(TARGET)).unwrap();
    let with = |gas| call(&state, &TransactionRequest { gas: Some(gas), ..request(TARGET) });
    let used = with(gas).unwrap().gas_used;
    assert!(gas >= used && gas <= used + used * 15 / 1000 + 1, "{gas} for {used}");
}

#[test]
fn an_estimate_stays_within_what_the_sender_can_pay() {
    let state =
        MemoryState::with([(ALICE, Account { balance: U256::from(50_000), ..Account::default() })])
            .contract(TARGET, &LOOP, 0);
    let paid = TransactionRequest { gas_price: Some(1), ..request(TARGET) };
    assert_eq!(
        estimate(&state, &paid).unwrap_err().to_string(),
        "gas required exceeds allowance (50000)"
    );
}

#[test]
fn an_access_list_names_what_is_touched() {
    let state = MemoryState::default().contract(TARGET, &read_code(), 0);
    let executor = executor(Fork::Osaka);
    let header = parent();
    let outcome = executor.create_access_list(&context(&header, &state), &request(TARGET)).unwrap();
    assert_eq!(outcome.access_list.0.len(), 1);
    assert_eq!(outcome.access_list.0[0].address, TARGET);
    assert_eq!(outcome.access_list.0[0].storage_keys, [B256::ZERO]);
    assert_eq!(outcome.error, None);
    let reverts = MemoryState::default().contract(TARGET, &revert_code(), 0);
    let outcome =
        executor.create_access_list(&context(&header, &reverts), &request(TARGET)).unwrap();
    assert_eq!(outcome.error.as_deref(), Some("execution reverted: no"));
}

#[test]
fn another_chain_id_is_refused() {
    let foreign = TransactionRequest { chain_id: Some(5), ..request(TARGET) };
    assert_eq!(
        call(&MemoryState::default(), &foreign).unwrap_err().to_string(),
        "chainId does not match node's (have=5, want=1337)"
    );
}

#[test]
fn before_london_a_fee_cap_is_a_price() {
    let executor = Executor::new(Arc::new(spec(EngineKind::Qbft, Fork::Istanbul)));
    let capped = TransactionRequest {
        max_fee_per_gas: Some(0),
        max_priority_fee_per_gas: Some(0),
        ..request(TARGET)
    };
    let (header, state) = (parent(), MemoryState::default());
    assert!(executor.call(&context(&header, &state), &capped).is_ok());
}
