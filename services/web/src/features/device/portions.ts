import type { Device, ModelSummary } from "@/api/types";

/** A part of a device's memory. */
export interface Portion {
  key: string;
  label: string;
  bytes: number;
  /** Of Mantine's palette, or as CSS has it. */
  color: string;
}

const MODELS = ["iris.6", "teal.6", "orange.6", "grape.6", "cyan.7", "lime.7"];

/**
 * Share out a device's memory: each model that is resident, what captures take beside them, what
 * other processes have, and what is free.
 *
 * What is not told is not guessed: without a figure of what is free there are no other processes.
 */
export function portionsOf(
  device: Device,
  models: Readonly<Record<string, ModelSummary>>,
): Portion[] {
  const resident = device.resident_models.map((id, index) => ({
    key: id,
    label: models[id]?.name ?? id,
    bytes: models[id]?.memory_usage_bytes ?? 0,
    color: MODELS[index % MODELS.length] ?? "iris.6",
  }));
  const inModels = resident.reduce((sum, portion) => sum + portion.bytes, 0);
  const captures = Math.max(0, device.memory_used_bytes - inModels);
  const ours = inModels + captures;
  const free = device.memory_free_bytes ?? device.memory_total_bytes - ours;
  const others = Math.max(0, device.memory_total_bytes - ours - free);
  return [
    ...resident,
    { key: "captures", label: "Captures and workspace", bytes: captures, color: "yellow.6" },
    { key: "others", label: "Other processes", bytes: others, color: "gray.6" },
    { key: "free", label: "Free", bytes: Math.max(0, free), color: "var(--free)" },
  ];
}
