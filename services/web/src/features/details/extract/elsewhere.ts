/** The same extraction for a terminal and for a notebook. */
import type { Capture } from "@/state/extractions";

/** Return the command that asks for the same. */
export function commandOf(modelId: string, capture: Capture): string {
  const { column, add_special_tokens, max_length, truncate, stride } = capture.tokenization ?? {};
  const options: [string, unknown][] = [
    ["layers", capture.layer_indices],
    ["hook-kinds", capture.hook_kinds?.join(",")],
    ["hook-points", capture.hook_points?.join(",")],
    ["samples", capture.sample_count],
    ["dtype", capture.dtype],
    ["column", column],
    ["max-length", max_length],
    ["truncate", truncate || null],
    ["stride", stride],
    ["no-special-tokens", add_special_tokens === false || null],
    ["batch-size", capture.batch_size],
  ];
  const written = options.filter(([, value]) => value != null).map(option);
  return [`mistudio extract ${modelId} ${capture.dataset_id}`, ...written].join(" \\\n  ");
}

function option([name, value]: [string, unknown]): string {
  if (value === true) return `--${name}`;
  const word = shellWord(String(value));
  // After a space, what begins with a dash would be taken for an option.
  return word.startsWith("-") ? `--${name}=${word}` : `--${name} ${word}`;
}

function shellWord(text: string): string {
  return /^[\w.,:=/@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Return the Python that asks for the same and waits for it. */
export function pythonOf(modelId: string, capture: Capture): string {
  const { dataset_id, tokenization, ...rest } = capture;
  const named = Object.entries({ ...rest, ...tokenization }).map(
    ([name, value]) => `        ${name}=${literal(value)},`,
  );
  return [
    "from mistudio_client import Client",
    "",
    "with Client() as client:",
    "    asked = client.extract(",
    `        ${literal(modelId)},`,
    `        ${literal(dataset_id)},`,
    ...named,
    "    )",
    "    done = client.extractions.wait(asked.extraction_id)",
    "    print(done.cache_id, done.storage_path)",
  ].join("\n");
}

function literal(value: unknown): string {
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  // A JSON text is a Python one, escapes included.
  return JSON.stringify(value);
}
