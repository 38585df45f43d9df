// Generates a client from the description of REST at an address into a folder, and from nothing else.
import { createClient } from "@hey-api/openapi-ts";

const [input = "", path = ""] = process.argv.slice(2);
await createClient({
  input,
  logs: { level: "silent" },
  output: { path, module: { extension: ".ts" } },
  plugins: ["@hey-api/client-fetch", "@hey-api/typescript", "@hey-api/sdk"],
});
