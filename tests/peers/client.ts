// The official TypeScript client: connects as its argument says, makes the calls, and prints what it saw as JSON.
import { Client, StreamableHTTPClientTransport, type VersionNegotiationMode } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

interface Plan {
  server: { url: string; key: string } | { command: string; args: string[]; env: Record<string, string> };
  mode: VersionNegotiationMode;
  calls: Record<string, unknown>[];
}

function transport({ server }: Plan): StdioClientTransport | StreamableHTTPClientTransport {
  if ("command" in server) return new StdioClientTransport(server);
  const headers = { Authorization: `Bearer ${server.key}` };
  return new StreamableHTTPClientTransport(new URL(server.url), { requestInit: { headers } });
}

const plan: Plan = JSON.parse(process.argv[2] ?? "");
const client = new Client({ name: "peer", version: "1" }, { versionNegotiation: { mode: plan.mode } });
await client.connect(transport(plan));
const version = client.getNegotiatedProtocolVersion();
const { tools } = await client.listTools();
const answers = [];
for (const args of plan.calls) {
  const { content, structuredContent, isError } = await client.callTool({ name: "execute", arguments: args });
  answers.push({ content, structured: structuredContent, failed: isError ?? false });
}
await client.close();
console.log(JSON.stringify({ version, tools, answers }));
