// Write the types of the REST API and of the WebSocket's frames from contracts/, unless they name
// what they would be made from.
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";

const contracts = new URL("../../../contracts/", import.meta.url);
const target = new URL("../src/api/generated/", import.meta.url);
const openapi = new URL("openapi.json", contracts);
const frames = new URL("frames.json", contracts);
const makers = [new URL("../package-lock.json", import.meta.url), new URL(import.meta.url)];
const outputs = ["openapi.ts", "frames.ts"].map((name) => new URL(name, target));

const digest = createHash("sha256");
for (const file of [openapi, frames, ...makers]) {
  digest.update(await readFile(file));
}
const banner = `// Generated from contracts/ by \`npm run generate\`. Not to be edited.
// ${digest.digest("hex")}
`;

async function current(file) {
  return (await readFile(file, "utf8").catch(() => "")).startsWith(banner);
}

if (!(await Promise.all(outputs.map(current))).every(Boolean)) {
  const { default: openapiTS, astToString } = await import("openapi-typescript");
  const { compile } = await import("json-schema-to-typescript");
  await mkdir(target, { recursive: true });
  const api = await openapiTS(openapi, { defaultNonNullable: false });
  await writeFile(outputs[0], banner + astToString(api));
  const options = { bannerComment: banner, additionalProperties: false, format: false };
  const schema = JSON.parse(await readFile(frames, "utf8"));
  await writeFile(outputs[1], await compile(schema, "ServerFrame", options));
}
