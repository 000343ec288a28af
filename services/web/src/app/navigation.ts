import { Activity, Boxes, Cpu, Database, Layers, type LucideIcon } from "lucide-react";

/** The screens, in the order of the work. */
export const SCREENS: readonly { path: string; label: string; icon: LucideIcon }[] = [
  { path: "/models", label: "Models", icon: Boxes },
  { path: "/datasets", label: "Datasets", icon: Database },
  { path: "/activations", label: "Activations", icon: Layers },
  { path: "/device", label: "Device", icon: Cpu },
  { path: "/activity", label: "Activity", icon: Activity },
];
