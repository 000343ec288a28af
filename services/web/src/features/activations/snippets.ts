/** Code that opens one very cache. */
import type { Cache } from "@/api/types";

/** Python that opens a cache where its store lies and reads from it. */
export function opening(cache: Cache): string {
  const column = JSON.stringify(middle(cache));
  return `import mistudio_activations

store = mistudio_activations.open(
    ${JSON.stringify(cache.storage_path)}
).view(${cache.sample_count})  # the samples of this cache

# Lazy: ${shape(cache)}
column = store[${column}]
column.sample(0)   # the rows of the first sample
store.input_ids    # row i of every column is token i
store.offsets      # where each sample begins
column.stats       # norms, the mean vector, the largest value`;
}

/** Python that trains on a cache, at the speed of the disk. */
export function training(cache: Cache): string {
  const column = JSON.stringify(middle(cache));
  return `from mistudio_activations import Keep

# First positions are left out: their norms are often giants.
# Several columns at once give the same rows of each.
batches = store.batches(
    [${column}],
    batch_size=4096,
    seed=0,
    keep=Keep(positions=(1, None)),
)
for batch in batches:  # one epoch
    x = batch.columns[${column}]  # [4096, width]
    ...  # torch.from_numpy(x), and a step of the SAE`;
}

/** Lines for a terminal. */
export function exporting({ id }: Cache): string {
  return `mistudio activations export ${id} ./store
mistudio activations export ${id} ./arrays --format npy
mistudio activations export ${id} ./tensors --format pt
mistudio activations export ${id} ./cached --format saelens --context-size 128`;
}

function middle({ hook_points }: Cache): string {
  return hook_points[Math.floor(hook_points.length / 2)] ?? "";
}

function shape({ activation_shape, token_count, dtype }: Cache): string {
  const read = dtype === "int8" ? "float32, kept as int8" : dtype;
  return `[${(activation_shape ?? [token_count, "width"]).join(", ")}] ${read}`;
}
