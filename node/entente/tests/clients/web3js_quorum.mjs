// web3js-quorum 22.4 on web3 1.x, and quorum-js before it, as members of a network with private transactions use them:
// each member talks to its own node. The first and the third node are the parties, the second one is an outsider.
// usage: node web3js_quorum.mjs TESTNET_JSON

import { createRequire } from "node:module";
import { assert, check, contract, finish, rejection, testnet, within } from "./checks.mjs";

const require = createRequire(import.meta.url);
const Web3 = require("web3");
const Web3Quorum = require("web3js-quorum");
const quorumJs = require("quorum-js");
const { Transaction } = require("ethereumjs-tx");

const HASH = /^0x[0-9a-f]{64}$/;
const PAYLOAD_HASH = /^0x[0-9a-f]{128}$/;
const GAS = 500_000;
const counter = contract("Counter");
const { nodes, accounts } = testnet();
const [alice, outsider, bob] = nodes.map(({ rpc, ws, privacy_key: key, account }, index) => {
  const web3 = new Web3Quorum(new Web3(rpc), {}, true);
  return { web3, ws, key, account, counter: new web3.eth.Contract(counter.abi), index };
});
const members = { alice, outsider, bob };
// An account that no node has the key of: its transactions are signed here.
const signer = accounts[6];
let deployed;

/** The counter that a member sees at an address. */
const seen = (member, address = deployed) => new member.web3.eth.Contract(counter.abi, address);

/** The receipt of a transaction on a member's node. */
async function mined(member, hash) {
  for (;;) {
    const receipt = await member.web3.eth.getTransactionReceipt(hash);
    if (receipt) return receipt;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Signs as an owner of a key outside the node does: without a chain id, as v 37 and 38 leave no room for it. */
async function signed(member, transaction) {
  const { web3 } = member;
  const nonce = await web3.eth.getTransactionCount(signer.address, "pending");
  const fields = {
    gasPrice: "0x0", value: "0x0", gasLimit: web3.utils.toHex(GAS), nonce: web3.utils.toHex(nonce),
    ...transaction,
  };
  const made = new Transaction(fields, { chain: "mainnet", hardfork: "homestead" });
  made.sign(Buffer.from(signer.private_key.slice(2), "hex"));
  return `0x${made.serialize().toString("hex")}`;
}

/** The same with v 37 or 38, which says that the data is the hash of a payload. */
async function signedPrivate(member, transaction) {
  const raw = await signed(member, transaction);
  return `0x${member.web3.utils.setPrivate(raw).toString("hex")}`;
}

/** Leaves the payload of a transaction on the member's node and answers its hash. */
async function filled(member, transaction, privateFor) {
  const request = { from: signer.address, gas: GAS, gasPrice: 0, ...transaction, privateFor };
  const { raw, tx } = await member.web3.eth.fillTransaction(request);
  assert.match(raw, /^0x/);
  assert.match(tx.input, PAYLOAD_HASH);
  return tx.input;
}

await check("web3 1.x reads chain id, head and the validators", async () => {
  const { eth, istanbul } = alice.web3;
  assert.equal(await eth.getChainId(), 1337);
  assert.ok((await eth.getBlockNumber()) >= 0);
  const validators = await istanbul.getValidators("latest");
  assert.equal(validators.length, nodes.length);
  const own = await istanbul.nodeAddress();
  assert.ok(validators.some((validator) => validator.toLowerCase() === own.toLowerCase()));
  assert.equal(await istanbul.isValidator("latest"), true);
  assert.equal(await eth.getPSI(), "private");
});

await check("a contract is created for one other party", async () => {
  const data = alice.counter.deploy({ data: counter.bytecode, arguments: [41] }).encodeABI();
  const receipt = await within(
    alice.web3.eth.sendGoQuorumTransaction({
      from: alice.account, data, gas: alice.web3.utils.toHex(GAS), gasPrice: "0x0",
      privateFor: [bob.key],
    }),
    "receipt of a creation",
  );
  deployed = receipt.contractAddress;
  assert.equal(receipt.status, true);
  for (const member of [alice, bob]) {
    await mined(member, receipt.transactionHash);
    assert.notEqual(await member.web3.eth.getCode(deployed), "0x");
    assert.equal(await seen(member).methods.value().call(), "41");
  }
  await mined(outsider, receipt.transactionHash);
  assert.equal(await outsider.web3.eth.getCode(deployed), "0x");
  await rejection(seen(outsider).methods.value().call(), "call of what is not there");
});

await check("web3's own contract object sends with privateFor", async () => {
  const contract = seen(bob);
  const sending = contract.methods.set(50).send({
    from: bob.account, gas: GAS, gasPrice: 0, privateFor: [alice.key],
  });
  const receipt = await within(sending, "receipt");
  assert.equal(receipt.events.Changed.returnValues.value, "50");
  await mined(alice, receipt.transactionHash);
  assert.equal(await seen(alice).methods.value().call(), "50");
});

await check("fill, sign elsewhere, setPrivate and sendRawPrivateTransaction", async () => {
  const data = seen(alice).methods.set(60).encodeABI();
  const hash = await filled(alice, { to: deployed, data }, [bob.key]);
  const raw = await signedPrivate(alice, { to: deployed, data: hash });
  const { eth } = alice.web3;
  const sent = await eth.sendRawPrivateTransaction(raw, { privateFor: [bob.key] });
  assert.match(sent, HASH);
  const receipt = await within(mined(alice, sent), "receipt");
  assert.deepEqual([receipt.status, receipt.logs.length], [true, 1]);
  await mined(bob, sent);
  assert.equal(await seen(bob).methods.value().call(), "60");
  const transaction = await eth.getTransaction(sent);
  assert.equal(transaction.input, hash);
  assert.equal(transaction.from.toLowerCase(), signer.address);
  assert.ok([37, 38].includes(Number(transaction.v)), `v ${transaction.v}`);
  for (const member of [alice, bob]) {
    assert.equal(await member.web3.eth.getQuorumPayload(hash), data);
  }
  assert.equal(await outsider.web3.eth.getQuorumPayload(hash), "0x");
});

await check("the public receipt tells an outsider nothing", async () => {
  const data = seen(alice).methods.set(61).encodeABI();
  const receipt = await within(
    alice.web3.eth.sendGoQuorumTransaction({
      from: alice.account, to: deployed, data, gas: alice.web3.utils.toHex(GAS), gasPrice: "0x0",
      privateFor: [bob.key],
    }),
    "receipt",
  );
  const theirs = await within(mined(outsider, receipt.transactionHash), "receipt");
  assert.deepEqual([theirs.status, theirs.logs.length], [true, 0]);
  const { input } = await outsider.web3.eth.getTransaction(receipt.transactionHash);
  assert.match(input, PAYLOAD_HASH);
  for (const [name, member] of Object.entries(members)) {
    await mined(member, receipt.transactionHash);
    const logs = await member.web3.eth.getPastLogs({ address: deployed, fromBlock: 0 });
    assert.equal(logs.length, name === "outsider" ? 0 : 3, name);
  }
});

await check("storage roots are equal among parties and absent elsewhere", async () => {
  const [first, second] = await Promise.all(
    [alice, bob].map((member) => member.web3.eth.storageRoot(deployed, "latest")),
  );
  assert.match(first, HASH);
  assert.equal(first, second);
  const error = await rejection(outsider.web3.eth.storageRoot(deployed, "latest"), "no root");
  assert.match(error.message, /can't find state object/);
});

await check("events reach the subscriptions of parties only", async () => {
  const heard = { alice: [], outsider: [], bob: [] };
  const sockets = [];
  const subscribed = Object.entries(members).map(([name, member]) => {
    const web3 = new Web3(new Web3.providers.WebsocketProvider(member.ws));
    sockets.push(web3.currentProvider);
    const events = new web3.eth.Contract(counter.abi, deployed).events.Changed();
    events.on("data", (event) => heard[name].push(event.returnValues.value));
    return new Promise((resolve, reject) => events.on("connected", resolve).on("error", reject));
  });
  await within(Promise.all(subscribed), "subscriptions");
  const data = seen(bob).methods.set(70).encodeABI();
  const { transactionHash } = await within(
    bob.web3.eth.sendGoQuorumTransaction({
      from: bob.account, to: deployed, data, gas: bob.web3.utils.toHex(GAS), gasPrice: "0x0",
      privateFor: [alice.key],
    }),
    "receipt",
  );
  await mined(outsider, transactionHash);
  const both = async () => {
    while (!(heard.alice.length && heard.bob.length)) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  await within(both(), "events of both parties");
  assert.deepEqual(heard, { alice: ["70"], outsider: [], bob: ["70"] });
  sockets.forEach((socket) => socket.disconnect());
});

await check("protected contracts say so", async () => {
  for (const flag of [1, 2, 3]) {
    const data = alice.counter.deploy({ data: counter.bytecode, arguments: [flag] }).encodeABI();
    const terms = flag === 2 ? { mandatoryFor: [bob.key] } : {};
    const receipt = await within(
      alice.web3.eth.sendGoQuorumTransaction({
        from: alice.account, data, gas: alice.web3.utils.toHex(GAS), gasPrice: "0x0",
        privateFor: [bob.key], privacyFlag: flag, ...terms,
      }),
      `receipt with flag ${flag}`,
    );
    assert.equal(receipt.status, true);
    await mined(bob, receipt.transactionHash);
    for (const member of [alice, bob]) {
      const metadata = await member.web3.eth.getContractPrivacyMetadata(receipt.contractAddress);
      assert.equal(metadata.privacyFlag, flag);
      assert.equal(Buffer.from(metadata.creationTxHash, "base64").length, 64);
      assert.deepEqual(metadata.mandatoryFor ?? null, terms.mandatoryFor ?? null);
    }
    const theirs = outsider.web3.eth.getContractPrivacyMetadata(receipt.contractAddress);
    assert.match((await rejection(theirs, "no metadata")).message, /not a private contract/);
  }
});

await check("distribute, then a privacy marker around the hash", async () => {
  const { eth } = alice.web3;
  const data = seen(alice).methods.set(80).encodeABI();
  const hash = await filled(alice, { to: deployed, data }, [bob.key]);
  const raw = await signedPrivate(alice, { to: deployed, data: hash });
  const inner = await eth.distributePrivateTransaction(raw, { privateFor: [bob.key] });
  assert.match(inner, PAYLOAD_HASH);
  const to = await eth.getPrivacyPrecompileAddress();
  assert.match(to, /^0x[0-9a-f]{40}$/);
  const marker = await eth.accounts.signTransaction(
    { to, data: inner, gas: GAS, gasPrice: 0, nonce: await eth.getTransactionCount(signer.address) },
    signer.private_key,
  );
  const receipt = await within(eth.sendSignedTransaction(marker.rawTransaction), "receipt");
  assert.equal(receipt.isPrivacyMarkerTransaction, true);
  for (const member of [alice, bob]) {
    await mined(member, receipt.transactionHash);
    const inside = await member.web3.eth.getPrivateTransactionReceipt(receipt.transactionHash);
    assert.deepEqual([inside.status, inside.logs.length], ["0x1", 1]);
    const transaction = await member.web3.eth.getPrivateTransactionByHash(receipt.transactionHash);
    assert.equal(transaction.input, hash);
    assert.equal(transaction.from, signer.address);
    assert.equal(await seen(member).methods.value().call(), "80");
  }
  await mined(outsider, receipt.transactionHash);
  const theirs = outsider.web3.eth.getPrivateTransactionReceipt(receipt.transactionHash);
  assert.match((await rejection(theirs, "no receipt")).message, /not found for this participant/);
  assert.equal(await outsider.web3.eth.getPrivateTransactionByHash(receipt.transactionHash), null);
});

await check("a revert of a private call has status 0 at the parties", async () => {
  const { web3 } = alice;
  const data = seen(alice).methods.raise(1).encodeABI();
  const request = { to: deployed, data, privateFor: [bob.key] };
  const called = rejection(seen(alice).methods.raise(1).call({ from: alice.account }), "revert");
  assert.match((await called).message, /not greater than the value/);
  const sent = await web3.eth.sendGoQuorumTransaction({
    ...request, from: alice.account, gas: web3.utils.toHex(GAS), gasPrice: "0x0",
  });
  assert.equal(sent.status, false);
  assert.equal((await mined(bob, sent.transactionHash)).status, false);
});

await check("what cannot be private is refused by name", async () => {
  const { eth } = alice.web3;
  const request = { from: alice.account, data: "0x00", gas: "0x7a120", gasPrice: "0x0" };
  const refused = async (fields) => {
    // The extension resolves with undefined where the node answers an error, and calls back with it.
    const called = new Promise((resolve) => {
      eth.sendGoQuorumTransaction({ ...request, ...fields }, resolve).catch(() => {});
    });
    return (await within(called, "an error")).message;
  };
  assert.match(await refused({ privateFor: ["bm90IGEga2V5"] }), /privateFor\[0\]/);
  assert.match(await refused({ privateFor: [bob.key], privacyFlag: 9 }), /privacyFlag/);
  assert.match(await refused({ privateFor: [bob.key], value: "0x1" }), /value/);
  const raw = await signedPrivate(alice, { data: `0x${"11".repeat(64)}` });
  const unknown = eth.sendRawPrivateTransaction(raw, { privateFor: [bob.key] });
  assert.match((await rejection(unknown, "unknown payload")).message, /is not stored on this node/);
});

await check("quorum-js reads, and sends what was filled and signed", async () => {
  const web3 = new Web3(nodes[0].rpc);
  quorumJs.extend(web3);
  // Its /storeraw of a transaction manager is not asked: the node fills.
  const sender = quorumJs.RawTransactionManager(web3, { privateUrl: nodes[0].rpc });
  const data = seen(alice).methods.set(90).encodeABI();
  const hash = await filled(alice, { to: deployed, data }, [bob.key]);
  const raw = sender.setPrivate(await signed(alice, { to: deployed, data: hash }));
  const receipt = await within(
    sender.sendRawRequest(`0x${raw.toString("hex")}`, [bob.key]), "receipt",
  );
  assert.equal(receipt.status, true);
  assert.equal(await web3.quorum.eth.getQuorumPayload(hash), data);
  await mined(bob, receipt.transactionHash);
  const root = await bob.web3.eth.storageRoot(deployed, "latest");
  assert.equal(await web3.quorum.eth.storageRoot(deployed, "latest"), root);
  const block = await web3.eth.getBlock(receipt.blockNumber, true);
  assert.ok(block.transactions.some(({ hash }) => hash === receipt.transactionHash));
});

finish();
