import counter from "../../../../testdata/contracts/Counter.json" with { type: "json" };
import { ContractFactory, Wallet, WebSocketProvider } from "ethers";

const [url = "ws://127.0.0.1:8545"] = process.argv.slice(2);
const key = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
// Blocks may follow each other faster than the 250 ms for which ethers caches answers.
const provider = new WebSocketProvider(url, undefined, { cacheTimeout: -1 });
const wallet = new Wallet(key, provider);

// Deploy.
const deployed = await new ContractFactory(counter.abi, counter.bytecode, wallet).deploy(41);
await deployed.waitForDeployment();
console.log("deployed at", deployed.target);

// Subscribe to its event.
const changed = new Promise((resolve) => deployed.once("Changed", (who, value) => resolve(value)));

// Send a transaction, wait for its block, call.
const receipt = await (await deployed.increment()).wait();
console.log("incremented in block", receipt.blockNumber, "for", receipt.fee, "wei");
console.log("value", await deployed.value(), "event", await changed);

await provider.destroy();
