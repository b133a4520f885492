// viem 2 as an application uses it: default settings everywhere.
// usage: node viem.mjs RPC_URL WS_URL PRIVATE_KEY

import {
  BaseError, ContractFunctionRevertedError, InsufficientFundsError, NonceTooLowError,
  createPublicClient, createWalletClient, defineChain, http, webSocket,
} from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { assert, check, commandLine, contract, finish, rejection, within } from "./checks.mjs";

const { rpc, ws, key } = commandLine();
const counter = contract("Counter");
const account = privateKeyToAccount(key);
const id = await createPublicClient({ transport: http(rpc) }).getChainId();
const chain = defineChain({
  id,
  name: "Entente",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [rpc], webSocket: [ws] } },
});
const client = createPublicClient({ chain, transport: http() });
const socket = createPublicClient({ chain, transport: webSocket() });
const wallet = createWalletClient({ chain, account, transport: http() });
const wallets = createWalletClient({ chain, account, transport: webSocket() });
let deployed;

const mined = (hash) =>
  within(client.waitForTransactionReceipt({ hash, pollingInterval: 100 }), `receipt of ${hash}`);
const send = (functionName, ...args) => wallet.writeContract({ ...deployed, functionName, args });
const read = (functionName) => client.readContract({ ...deployed, functionName });

/** Resolves with the log of `Changed` with a value. */
function changedTo(watching, expected) {
  const event = new Promise((resolve, reject) => {
    const unwatch = watching.watchContractEvent({
      ...deployed,
      eventName: "Changed",
      pollingInterval: 100,
      onError: reject,
      onLogs: (logs) => {
        const log = logs.find(({ args }) => args.value === expected);
        if (log) resolve(log), unwatch();
      },
    });
  });
  return within(event, `event of ${expected}`);
}

await check("reads chain id, head and balance", async () => {
  assert.equal(id, await socket.getChainId());
  assert.ok((await client.getBalance(account)) > 0n);
  const head = await client.getBlock();
  assert.equal((await client.getBlock({ blockHash: head.hash })).number, head.number);
});

await check("deploys, calls, sends and waits", async () => {
  const hash = await wallet.deployContract({ ...counter, args: [41n] });
  const { contractAddress: address, status } = await mined(hash);
  assert.equal(status, "success");
  deployed = { address, abi: counter.abi };
  assert.equal(await read("value"), 41n);
  const { result, request } = await client.simulateContract({
    ...deployed, account, functionName: "increment",
  });
  assert.equal(result, 42n);
  const receipt = await mined(await wallet.writeContract(request));
  assert.equal(receipt.status, "success");
  assert.equal(await read("value"), 42n);
  const sent = await client.getTransaction({ hash: receipt.transactionHash });
  assert.equal(sent.blockHash, receipt.blockHash);
});

await check("event by WebSocket subscription", async () => {
  const event = changedTo(socket, 100n);
  const hash = await send("set", 100n);
  assert.equal((await event).transactionHash, hash);
});

await check("event by filter over HTTP", async () => {
  const event = changedTo(client, 101n);
  const hash = await send("set", 101n);
  assert.equal((await event).transactionHash, hash);
});

await check("event by getLogs and by a filter of past blocks", async () => {
  const range = { ...deployed, eventName: "Changed", fromBlock: 0n };
  const values = (logs) => logs.map(({ args }) => args.value);
  const who = { args: { who: account.address } };
  assert.deepEqual(values(await client.getContractEvents({ ...range, ...who })), [42n, 100n, 101n]);
  const filter = await client.createContractEventFilter(range);
  assert.deepEqual(values(await client.getFilterLogs({ filter })), [42n, 100n, 101n]);
  assert.equal(await client.uninstallFilter({ filter }), true);
});

await check("heads by subscription", async () => {
  const numbers = [];
  const two = new Promise((resolve, reject) => {
    const unwatch = socket.watchBlockNumber({
      onError: reject,
      onBlockNumber: (number) => numbers.push(number) === 2 && (resolve(), unwatch()),
    });
  });
  await mined(await send("set", 1n));
  await mined(await send("set", 2n));
  await within(two, "two heads");
  assert.equal(numbers[1], numbers[0] + 1n);
});

await check("revert reason and custom error are decoded", async () => {
  await mined(await send("set", 10n));
  const cause = async (functionName, argument) => {
    const call = client.simulateContract({ ...deployed, account, functionName, args: [argument] });
    const error = await rejection(call, functionName);
    assert.ok(error instanceof BaseError);
    return error.walk((cause) => cause instanceof ContractFunctionRevertedError);
  };
  assert.equal((await cause("raise", 10n)).reason, "not greater than the value");
  const { data } = await cause("setSmall", 1001n);
  assert.equal(data.errorName, "TooLarge");
  assert.deepEqual(data.args, [1001n, 1000n]);
});

await check("used nonce is refused by its name", async () => {
  const request = { to: account.address, nonce: 0, gas: 21_000n };
  const error = await rejection(wallet.sendTransaction(request), "used nonce");
  assert.ok(error.walk((cause) => cause instanceof NonceTooLowError), error.message);
});

await check("more value than there is is refused by its name", async () => {
  const poor = privateKeyToAccount(generatePrivateKey());
  const request = { account: poor, to: account.address, value: 1n, gas: 21_000n };
  const error = await rejection(wallet.sendTransaction(request), "value of the poor");
  assert.ok(error.walk((cause) => cause instanceof InsufficientFundsError), error.message);
});

await check("account without ether may send", async () => {
  const poor = privateKeyToAccount(generatePrivateKey());
  const hash = await wallet.sendTransaction({ account: poor, to: poor.address });
  assert.equal((await mined(hash)).status, "success");
});

await check("batch of 100 reads", async () => {
  const batching = createPublicClient({
    chain,
    transport: http(rpc, { batch: { batchSize: 100, wait: 20 } }),
  });
  const addresses = Array.from({ length: 100 }, () =>
    privateKeyToAccount(generatePrivateKey()).address,
  );
  const balances = await within(
    Promise.all(addresses.map((address) => batching.getBalance({ address }))),
    "100 balances",
  );
  assert.ok(balances.every((balance) => balance === 0n));
});

await check("50 pipelined sends on one WebSocket keep their order", async () => {
  const first = await client.getTransactionCount({ address: account.address, blockTag: "pending" });
  const request = await wallet.prepareTransactionRequest({ to: account.address, value: 1n });
  const raw = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      wallet.signTransaction({ ...request, nonce: first + index }),
    ),
  );
  const hashes = await within(
    Promise.all(raw.map((serializedTransaction) =>
      wallets.sendRawTransaction({ serializedTransaction }),
    )),
    "hashes of 50",
  );
  const receipts = await Promise.all(hashes.map(mined));
  const places = receipts.map((r) => Number(r.blockNumber) * 1e6 + r.transactionIndex);
  assert.deepEqual(places, places.toSorted((a, b) => a - b));
  assert.equal(await client.getTransactionCount(account), first + 50);
});

finish();
