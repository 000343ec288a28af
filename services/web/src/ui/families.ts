/** The names of model families, by the `model_type` of their config. */

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

/** The name of a family as people say it; one we have no name for says its type. */
export function familyName(modelType: string): string {
  return NAMES[modelType] ?? modelType;
}
