/** The names of model families, by the `model_type` of their config. */

import { count, magnitude } from "./format";

const NAMES: Record<string, string> = {
  bloom: "BLOOM",
  falcon: "Falcon",
  gemma2: "Gemma 2",
  gemma3_text: "Gemma 3",
  gpt2: "GPT-2",
  gpt_neo: "GPT-Neo",
  gpt_neox: "GPT-NeoX",
  gptj: "GPT-J",
  llama: "LLaMA",
  mistral: "Mistral",
  mixtral: "Mixtral",
  olmo2: "OLMo 2",
  opt: "OPT",
  phi: "Phi",
  phi3: "Phi 3",
  qwen2: "Qwen 2",
  qwen3: "Qwen 3",
};

/** What is known of a checkpoint before it is loaded. */
interface Described {
  model_type: string | null;
  num_layers: number | null;
  parameter_count: number | null;
}

/** Return the family, layers and parameters, as far as they are known: "GPT-2, 12 layers, …". */
export function describe({ model_type, num_layers, parameter_count }: Described): string {
  return [
    model_type && familyName(model_type),
    num_layers && `${count(num_layers)} layers`,
    parameter_count && `${magnitude(parameter_count)} parameters`,
  ]
    .filter(Boolean)
    .join(", ");
}

/** The name of a family as people say it; one we have no name for says its type. */
export function familyName(modelType: string): string {
  return NAMES[modelType] ?? modelType;
}
