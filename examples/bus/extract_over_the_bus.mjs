// Load a model and capture activations from another service, in JavaScript with nats.js alone.
//
// Nothing of ours is imported: subjects and payloads are those of `contracts/subjects.md` and
// `contracts/schemas/`. Run it against any site, where `npm install nats` has run:
//
//     node extract_over_the_bus.mjs MODEL_ID DATASET_ID LAYER…
//
// NATS_URL names the bus; `mistudio status --json` shows the embedded one's.
import { randomUUID } from "node:crypto";
import { connect, DeliverPolicy, headers, JSONCodec } from "nats";

const json = JSONCodec();
const LOADED = new Set(["model.ready", "model.failed"]);
const EXTRACTED = new Set(["extraction.completed", "extraction.failed", "extraction.cancelled"]);

const [model_id, dataset_id, ...layers] = process.argv.slice(2);
if (!dataset_id || layers.length === 0) {
  console.error("usage: node extract_over_the_bus.mjs MODEL_ID DATASET_ID LAYER…");
  process.exit(2);
}

// The password of an embedded bus is part of its URL, which this client takes in pieces.
const bus = new URL(process.env.NATS_URL ?? "nats://127.0.0.1:4222");
const connection = await connect({
  servers: bus.host,
  user: bus.username ? decodeURIComponent(bus.username) : undefined,
  pass: bus.password ? decodeURIComponent(bus.password) : undefined,
});
const jetstream = connection.jetstream();
// An ephemeral consumer from now on: subscribing before publishing misses nothing.
const consumer = await jetstream.consumers.get("EVENTS", { deliver_policy: DeliverPolicy.New });
const messages = await consumer.consume();
const events = messages[Symbol.asyncIterator]();

/** Publish a command and return its id; the stream's acknowledgement says that it is kept. */
async function publish(subject, payload) {
  const id = randomUUID();
  const about = headers();
  // The id makes a repeated publish harmless and names the command in command.refused.
  about.set("Nats-Msg-Id", id);
  about.set("ce-id", id);
  about.set("ce-type", subject);
  about.set("ce-source", "examples/bus");
  await jetstream.publish(subject, json.encode(payload), { headers: about });
  return id;
}

/** Follow the events of one entity until one of `last`, or until the command is refused. */
async function until(command, key, value, last) {
  while (true) {
    const { value: message, done } = await events.next();
    if (done) throw new Error("the events ended");
    const event = json.decode(message.data);
    if (message.subject === "command.refused" && event.command_id === command) {
      throw new Error(`refused: ${event.error.message}`);
    }
    if (event[key] !== value) continue;
    console.log(`  ${message.subject}: ${JSON.stringify(event)}`);
    if (last.has(message.subject)) return event;
  }
}

try {
  console.log("load");
  const asked = await publish("model.load.requested", { model_id });
  const loaded = await until(asked, "model_id", model_id, LOADED);
  if (loaded.status !== "ready") throw new Error(`failed: ${loaded.error.message}`);

  console.log("extract");
  const extraction_id = `ext_${randomUUID().replaceAll("-", "")}`;
  const layer_indices = layers.map(Number);
  const wanted = await publish("extraction.requested", {
    model_id,
    dataset_id,
    layer_indices,
    extraction_id,
  });
  const done = await until(wanted, "extraction_id", extraction_id, EXTRACTED);
  if (done.status !== "completed") throw new Error(`${done.status}: ${done.error?.message ?? ""}`);
  console.log(`${done.total_tokens} tokens at ${done.storage_path}`);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  // Else it would begin anew on the closed connection, for ever.
  await messages.close();
  await connection.close();
}
