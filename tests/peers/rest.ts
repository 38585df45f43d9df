// A client of REST that was generated from the server's own description: does what an agent and a platform do, as its
// argument says, and prints what it saw as JSON. It is type-checked against the description before it runs.
import {
  billingLedgerList,
  billingPlanCancel,
  billingPlanChange,
  billingWalletBalanceGet,
  captureHold,
  createAccount,
  getAccount,
  giveCredit,
  placeHold,
  type LedgerItem,
  type Problem,
} from "./client/index.ts";
import { createClient } from "./client/client/index.ts";

declare const process: { argv: string[] };

interface Plan {
  url: string;
  agentKey: string;
  platformKey: string;
  account: string;
}

const { url: baseUrl, agentKey, platformKey, account }: Plan = JSON.parse(process.argv[2] ?? "");
const agent = createClient({ baseUrl, auth: agentKey });
const platform = createClient({ baseUrl, auth: platformKey });
const path = { account_id: account };
const once = (key: string) => ({ "Idempotency-Key": key });

/** The code of a refusal, which must be one that the description knows. */
function code(problem: Problem | undefined, expected: Problem["code"]): Problem["code"] {
  if (problem?.code !== expected) throw new Error(`${expected} expected: ${JSON.stringify(problem)}`);
  return problem.code;
}

async function asAgent() {
  const balance = await billingWalletBalanceGet({ client: agent, path, throwOnError: true });
  const ledger: LedgerItem[] = [];
  let pages = 0;
  for (let cursor: string | null | undefined; cursor !== null; pages += 1) {
    const query = { limit: 5, from: "2025-01-01", ...(cursor ? { cursor } : {}) };
    const { data } = await billingLedgerList({ client: agent, path, query, throwOnError: true });
    ledger.push(...data.items);
    cursor = data.next_cursor;
  }
  const change = { client: agent, path, body: { plan_id: "smtp_per_proxy" as const }, headers: once("change-1") };
  const first = await billingPlanChange({ ...change, throwOnError: true });
  const second = await billingPlanChange({ ...change, throwOnError: true });
  const unchanged = await billingPlanChange({ ...change, headers: once("change-2") });
  const nobody = await billingPlanCancel({ client: platform, path, body: {} });
  return {
    balance: balance.data.balance,
    ledger: ledger.map((each) => each.transaction_id),
    pages,
    change: first.data,
    again: second.data,
    replayed: [first, second].map(({ response }) => response.headers.get("Idempotent-Replayed")),
    unchanged: [unchanged.response?.status, code(unchanged.error, "plan_unchanged")],
    nobody: [nobody.response?.status, code(nobody.error, "platform_credential")],
  };
}

async function asPlatform() {
  const { data: opened, response } = await createAccount({
    client: platform,
    body: { name: "Northwind Mail" },
    headers: once("open-1"),
    throwOnError: true,
  });
  const path = { account_id: opened.account_id };
  const body = { amount: "10.00", reason: "Welcome" };
  await giveCredit({ client: platform, path, body, headers: once("credit-1"), throwOnError: true });
  const hold = { client: platform, path, body: { amount: "0.0065" }, headers: once("hold-1") };
  const placed = await placeHold({ ...hold, throwOnError: true });
  const { data: captured } = await captureHold({
    client: platform,
    path: { ...path, hold_id: placed.data.hold_id },
    body: { amount: "0.0050", final: true },
    headers: once("capture-1"),
    throwOnError: true,
  });
  const poor = await placeHold({ client: platform, path, body: { amount: "99.00" }, headers: once("hold-2") });
  const { data: left } = await getAccount({ client: platform, path, throwOnError: true });
  return {
    location: response.headers.get("Location"),
    account: opened.account_id,
    captured: [captured.status, captured.captured, captured.released],
    free: left.free,
    poor: [poor.response?.status, code(poor.error, "insufficient_funds"), poor.error?.shortfall],
    ways: poor.error?.ways_to_cover?.map((each) => each.way),
  };
}

console.log(JSON.stringify({ agent: await asAgent(), platform: await asPlatform() }));
