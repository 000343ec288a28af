// Write the types of the REST API and of the WebSocket's frames from contracts/.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { compile } from "json-schema-to-typescript";
import openapiTS, { astToString } from "openapi-typescript";

const contracts = new URL("../../../contracts/", import.meta.url);
const target = new URL("../src/api/generated/", import.meta.url);
const banner = "// Generated from contracts/ by `npm run generate`. Not to be edited.\n";

await mkdir(target, { recursive: true });

const api = await openapiTS(new URL("openapi.json", contracts), {
  defaultNonNullable: false,
});
await writeFile(new URL("openapi.ts", target), banner + astToString(api));

const schema = JSON.parse(await readFile(new URL("frames.json", contracts), "utf8"));
const frames = await compile(schema, "ServerFrame", {
  bannerComment: banner,
  additionalProperties: false,
  format: false,
});
await writeFile(new URL("frames.ts", target), frames);
