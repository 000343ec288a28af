import type { Schemas } from "@/api/types";
import type { Format } from "./head";

export const SOURCES: Record<Schemas["DatasetSource"], string> = {
  upload: "Uploaded",
  local: "On the service's machine",
  huggingface: "Hugging Face hub",
};

export const FORMATS: readonly { value: Format; label: string }[] = [
  { value: "jsonl", label: "JSON Lines" },
  { value: "csv", label: "CSV" },
  { value: "parquet", label: "Parquet" },
  { value: "text", label: "Plain text, a sample a line" },
];
