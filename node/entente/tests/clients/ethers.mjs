// ethers 6 as an application uses it. One setting differs: ethers keeps answers for 250 ms, longer than the time
// between a receipt and the next transaction of a script, so it would sign with a nonce that is used.
// usage: node ethers.mjs RPC_URL WS_URL PRIVATE_KEY

import {
  Contract, ContractFactory, JsonRpcProvider, Wallet, WebSocketProvider, toQuantity,
} from "ethers";
import { commandLine, assert, check, contract, finish, rejection, within } from "./checks.mjs";

const { rpc, ws, key } = commandLine();
const counter = contract("Counter");
const token = contract("Token");
const fresh = { cacheTimeout: -1 };
const http = new JsonRpcProvider(rpc, undefined, fresh);
const socket = new WebSocketProvider(ws, undefined, fresh);
const wallet = new Wallet(key, http);
let deployed;

/** The Changed event with a value, as {who, hash}; `listening` resolves once the listener is set. */
function changedTo(contract, expected) {
  let listening;
  const event = new Promise((resolve, reject) => {
    const listener = (who, value, payload) => {
      if (value !== expected) return;
      contract.off("Changed", listener);
      resolve({ who, hash: payload.log.transactionHash });
    };
    listening = contract.on("Changed", listener).catch(reject);
  });
  return { listening, event: within(event, `event of ${expected}`) };
}

await check("reads chain id, head and balance", async () => {
  const { chainId } = await http.getNetwork();
  assert.equal(chainId, BigInt(await http.send("net_version", [])));
  assert.ok((await http.getBlockNumber()) >= 0);
  assert.ok((await http.getBalance(wallet.address)) > 0n);
  const head = await http.getBlock("latest", true);
  assert.equal(head.hash, (await http.getBlock(head.number)).hash);
});

await check("tags safe and finalized name blocks", async () => {
  const [safe, finalized, latest] = await Promise.all(
    ["safe", "finalized", "latest"].map((tag) => http.getBlock(tag)),
  );
  assert.ok(safe.number <= latest.number + 1 && finalized.number <= latest.number + 1);
});

await check("deploys, calls, sends and waits", async () => {
  const factory = new ContractFactory(counter.abi, counter.bytecode, wallet);
  deployed = await factory.deploy(41);
  await within(deployed.waitForDeployment(), "deployment");
  assert.notEqual(await http.getCode(deployed.target), "0x");
  assert.equal(await deployed.value(), 41n);
  assert.equal(await deployed.increment.staticCall(), 42n);
  const receipt = await within((await deployed.increment()).wait(), "receipt");
  assert.equal(receipt.status, 1);
  assert.equal(await deployed.value(), 42n);
  assert.equal(await deployed.value({ blockTag: receipt.blockNumber - 1 }), 41n);
  const transaction = await http.getTransaction(receipt.hash);
  assert.equal(transaction.from, wallet.address);
  assert.equal(transaction.blockHash, receipt.blockHash);
});

await check("sends plain value", async () => {
  const to = Wallet.createRandom().address;
  const receipt = await within((await wallet.sendTransaction({ to, value: 7n })).wait(), "receipt");
  assert.equal(receipt.gasUsed, 21_000n);
  assert.equal(await http.getBalance(to), 7n);
});

await check("event by WebSocket subscription", async () => {
  const subscribed = new Contract(deployed.target, counter.abi, socket);
  const { listening, event } = changedTo(subscribed, 100n);
  await listening;
  const sent = await deployed.set(100);
  assert.deepEqual(await event, { who: wallet.address, hash: sent.hash });
});

await check("event by filter over HTTP", async () => {
  const { listening, event } = changedTo(deployed, 101n);
  await listening;
  const sent = await deployed.set(101);
  assert.deepEqual(await event, { who: wallet.address, hash: sent.hash });
});

await check("event by getLogs", async () => {
  const mine = await deployed.queryFilter(deployed.filters.Changed(wallet.address), 0);
  assert.deepEqual(mine.map((log) => log.args.value), [42n, 100n, 101n]);
  const nobody = await deployed.queryFilter(deployed.filters.Changed(deployed.target), 0);
  assert.equal(nobody.length, 0);
});

await check("heads and pending transactions by subscription", async () => {
  const heads = [];
  const two = new Promise((resolve) => {
    socket.on("block", (number) => heads.push(number) === 2 && resolve());
  });
  const pending = new Promise((resolve) => socket.on("pending", resolve));
  const first = await deployed.set(1);
  await within(first.wait(), "receipt");
  await within((await deployed.set(2)).wait(), "receipt");
  await within(two, "two heads");
  assert.equal(heads[1], heads[0] + 1);
  assert.match(await within(pending, "pending transaction"), /^0x[0-9a-f]{64}$/);
  await socket.off("block");
  await socket.off("pending");
});

await check("revert reason and custom error are decoded", async () => {
  await within((await deployed.set(10)).wait(), "receipt");
  const reason = await rejection(deployed.raise(10), "estimate of a revert");
  assert.equal(reason.code, "CALL_EXCEPTION");
  assert.equal(reason.reason, "not greater than the value");
  const called = await rejection(deployed.raise.staticCall(10), "call that reverts");
  assert.equal(called.reason, "not greater than the value");
  const custom = await rejection(deployed.setSmall.staticCall(1001), "custom error");
  assert.equal(custom.revert.name, "TooLarge");
  assert.deepEqual([...custom.revert.args], [1001n, 1000n]);
});

await check("reverted transaction has a receipt of status 0", async () => {
  const sent = await deployed.raise(1, { gasLimit: 100_000 });
  const error = await rejection(sent.wait(), "receipt of a revert");
  assert.equal(error.code, "CALL_EXCEPTION");
  assert.equal(error.receipt.status, 0);
});

await check("used nonce, known and competing transactions are refused by their names", async () => {
  const to = wallet.address;
  const used = await rejection(wallet.sendTransaction({ to, nonce: 0 }), "used nonce");
  assert.equal(used.code, "NONCE_EXPIRED");
  // Two nonces ahead, so that no block takes it meanwhile.
  const nonce = (await wallet.getNonce("pending")) + 1;
  const waiting = await wallet.sendTransaction({ to, nonce, value: 1n });
  const competing = await rejection(wallet.sendTransaction({ to, nonce, value: 2n }), "competing");
  assert.equal(competing.code, "REPLACEMENT_UNDERPRICED");
  await within((await wallet.sendTransaction({ to, nonce: nonce - 1 })).wait(), "filled gap");
  await within(waiting.wait(), "receipt after the gap");
});

await check("more value than there is is refused by its name", async () => {
  const poor = Wallet.createRandom(http);
  const request = { to: wallet.address, value: 1n, gasLimit: 21_000n };
  const error = await rejection(poor.sendTransaction(request), "value of the poor");
  assert.equal(error.code, "INSUFFICIENT_FUNDS");
});

await check("account without ether may send", async () => {
  const poor = Wallet.createRandom(http);
  const receipt = await within((await poor.sendTransaction({ to: poor.address })).wait(), "receipt");
  assert.equal(receipt.status, 1);
});

await check("unknown method and filter answer in the texts that clients know", async () => {
  const method = await rejection(http.send("eth_nothing", []), "unknown method");
  assert.equal(method.code, "UNSUPPORTED_OPERATION");
  const filter = await rejection(http.send("eth_getFilterChanges", ["0xdead"]), "unknown filter");
  assert.match(JSON.stringify(filter), /filter not found/);
});

await check("batch of 100 reads", async () => {
  let batches = 0;
  http.on("debug", (event) => {
    if (event.action === "sendRpcPayload" && event.payload.length === 100) batches += 1;
  });
  const addresses = Array.from({ length: 100 }, () => Wallet.createRandom().address);
  const balances = await Promise.all(addresses.map((address) => http.getBalance(address)));
  assert.ok(balances.every((balance) => balance === 0n));
  assert.equal(batches, 1);
});

await check("ERC-20 transfers", async () => {
  const factory = new ContractFactory(token.abi, token.bytecode, wallet);
  const erc20 = await factory.deploy(1_000n);
  await within(erc20.waitForDeployment(), "deployment");
  const to = Wallet.createRandom().address;
  const receipt = await within((await erc20.transfer(to, 400n)).wait(), "receipt");
  assert.equal(receipt.logs[0].fragment.name, "Transfer");
  assert.equal(await erc20.balanceOf(to), 400n);
  const error = await rejection(erc20.transfer.staticCall(to, 601n), "too much");
  assert.equal(error.revert.name, "InsufficientBalance");
});

await check("50 pipelined sends on one WebSocket keep their order", async () => {
  const first = await wallet.getNonce("pending");
  const { chainId } = await http.getNetwork();
  const fees = await http.getFeeData();
  const price = fees.gasPrice ?? 0n;
  const raw = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      wallet.signTransaction({
        type: 0, chainId, nonce: first + index, to: wallet.address, value: BigInt(index),
        gasLimit: 21_000n, gasPrice: price,
      }),
    ),
  );
  const hashes = await within(
    Promise.all(raw.map((transaction) => socket.send("eth_sendRawTransaction", [transaction]))),
    "hashes of 50",
  );
  const receipts = await Promise.all(hashes.map((hash) => http.waitForTransaction(hash, 1, 60_000)));
  assert.ok(receipts.every((receipt) => receipt.status === 1));
  const places = receipts.map((receipt) => receipt.blockNumber * 1e6 + receipt.index);
  assert.deepEqual(places, places.toSorted((a, b) => a - b));
  const count = await http.send("eth_getTransactionCount", [wallet.address, "latest"]);
  assert.equal(count, toQuantity(first + 50));
});

finish();
