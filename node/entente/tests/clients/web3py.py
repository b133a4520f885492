"""web3.py 8 as an application uses it: default settings everywhere.

usage: python web3py.py RPC_URL WS_URL PRIVATE_KEY

One thing differs from Ethereum: block headers of proof-of-authority chains, ours among them, carry
more than 32 bytes of extraData. web3.py refuses such a block unless ExtraDataToPOAMiddleware is
injected into layer 0, which renames the field to proofOfAuthorityData.
"""

import asyncio
import json
import os
import pathlib
import sys
import traceback

from eth_account import Account
from web3 import AsyncWeb3, HTTPProvider, Web3, WebSocketProvider
from web3.exceptions import ContractCustomError, ContractLogicError, Web3RPCError
from web3.middleware import ExtraDataToPOAMiddleware, SignAndSendRawMiddlewareBuilder

WITHIN_S = 30
CHECKS = []


def check(name):
    def register(body):
        CHECKS.append((name, body))
        return body

    return register


def contract(name):
    here = pathlib.Path(__file__).resolve().parents[4] / "testdata" / "contracts"
    folder = pathlib.Path(os.environ.get("CONTRACTS_DIR", here))
    return json.loads((folder / f"{name}.json").read_text())


def rejection(kind, action):
    """The error of a kind that `action` raises; fails when it does not."""
    try:
        action()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind}")


if len(sys.argv) != 4:
    sys.exit(__doc__)
RPC, WS, KEY = sys.argv[1:]
COUNTER = contract("Counter")
w3 = Web3(HTTPProvider(RPC, request_kwargs={"timeout": WITHIN_S}))
w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
account = Account.from_key(KEY)
w3.middleware_onion.add(SignAndSendRawMiddlewareBuilder.build(account))
w3.eth.default_account = account.address
deployed = None


def mined(transaction_hash):
    return w3.eth.wait_for_transaction_receipt(transaction_hash, WITHIN_S, poll_latency=0.1)


@check("reads chain id, head and balance")
def _():
    assert w3.is_connected()
    assert w3.eth.chain_id == int(w3.net.version)
    assert w3.eth.get_balance(account.address) > 0
    head = w3.eth.get_block("latest", full_transactions=True)
    assert w3.eth.get_block(head.hash).number == head.number
    assert w3.client_version


@check("deploys, calls, sends and waits")
def _():
    global deployed
    factory = w3.eth.contract(abi=COUNTER["abi"], bytecode=COUNTER["bytecode"])
    receipt = mined(factory.constructor(41).transact())
    assert receipt.status == 1
    deployed = w3.eth.contract(receipt.contractAddress, abi=COUNTER["abi"])
    assert deployed.functions.value().call() == 41
    assert deployed.functions.increment().call() == 42
    receipt = mined(deployed.functions.increment().transact())
    assert receipt.status == 1
    assert deployed.functions.value().call() == 42
    assert deployed.functions.value().call(block_identifier=receipt.blockNumber - 1) == 41
    assert w3.eth.get_transaction(receipt.transactionHash).blockHash == receipt.blockHash
    (log,) = deployed.events.Changed().process_receipt(receipt)
    assert (log.args.who, log.args.value) == (account.address, 42)


@check("event by WebSocket subscription")
def _():
    async def subscribed():
        async with AsyncWeb3(WebSocketProvider(WS)) as ws:
            await ws.eth.subscribe("logs", {"address": deployed.address})
            # No newHeads: web3.py formats the heads of a subscription before any middleware sees them, and
            # refuses extraData of more than 32 bytes, which every proof-of-authority chain has.
            loop = asyncio.get_running_loop()
            send = deployed.functions.set(100).transact
            sent = await loop.run_in_executor(None, send)
            async for message in ws.socket.process_subscriptions():
                log = message["result"]
                break
            assert log["transactionHash"] == sent
            assert deployed.events.Changed().process_log(log).args.value == 100

    async def in_time():
        await asyncio.wait_for(subscribed(), WITHIN_S)

    asyncio.run(in_time())


@check("event by filter")
def _():
    changed = deployed.events.Changed.create_filter(from_block="latest")
    receipt = mined(deployed.functions.set(101).transact())
    values = [(log.args.value, log.transactionHash) for log in changed.get_new_entries()]
    assert (101, receipt.transactionHash) in values, values
    assert w3.eth.uninstall_filter(changed.filter_id)


@check("event by getLogs")
def _():
    logs = deployed.events.Changed.get_logs(
        from_block=0, argument_filters={"who": account.address}
    )
    assert [log.args.value for log in logs] == [42, 100, 101]


@check("revert reason and custom error are decoded")
def _():
    mined(deployed.functions.set(10).transact())
    error = rejection(ContractLogicError, lambda: deployed.functions["raise"](10).call())
    assert "not greater than the value" in str(error), error
    # An estimate comes before a send, so a send that reverts is refused in the same words.
    error = rejection(ContractLogicError, lambda: deployed.functions["raise"](10).transact())
    assert "not greater than the value" in str(error), error
    error = rejection(ContractCustomError, lambda: deployed.functions.setSmall(1001).call())
    assert f"{1001:064x}{1000:064x}" in str(error.data), error.data


@check("used nonce, and more value than there is, are refused in the texts of geth")
def _():
    price = w3.eth.gas_price
    fields = {"to": account.address, "gas": 21_000, "gasPrice": price, "chainId": w3.eth.chain_id}
    used = account.sign_transaction(fields | {"nonce": 0, "value": 0})
    error = rejection(Web3RPCError, lambda: w3.eth.send_raw_transaction(used.raw_transaction))
    assert "nonce too low" in str(error), error
    poor = Account.create().sign_transaction(fields | {"nonce": 0, "value": 1})
    error = rejection(Web3RPCError, lambda: w3.eth.send_raw_transaction(poor.raw_transaction))
    assert "insufficient funds for gas * price + value" in str(error), error


@check("account without ether may send")
def _():
    poor = Account.create()
    fields = {"to": poor.address, "gas": 21_000, "gasPrice": 0, "nonce": 0, "value": 0}
    signed = poor.sign_transaction(fields | {"chainId": w3.eth.chain_id})
    assert mined(w3.eth.send_raw_transaction(signed.raw_transaction)).status == 1


@check("batch of 100 reads")
def _():
    with w3.batch_requests() as batch:
        for _ in range(100):
            batch.add(w3.eth.get_balance(Account.create().address))
        balances = batch.execute()
    assert balances == [0] * 100


def main():
    failed = 0
    for name, body in CHECKS:
        try:
            body()
            print(f"ok {name}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {name}: {traceback.format_exc()}", flush=True)
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
