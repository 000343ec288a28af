import { Badge } from "@mantine/core";
import {
  CircleAlert,
  CircleCheck,
  CircleDashed,
  CircleSlash,
  Clock,
  LoaderCircle,
} from "lucide-react";
import type { DatasetStatus, ExtractionStatus, ModelStatus } from "@/api/types";
import classes from "./StatusBadge.module.css";

type Status = ModelStatus | DatasetStatus | ExtractionStatus;

const LOOKS: Record<Status, { color: string; icon: typeof Clock; turns?: true }> = {
  pending: { color: "gray", icon: CircleDashed },
  loading: { color: "iris", icon: LoaderCircle, turns: true },
  ready: { color: "teal", icon: CircleCheck },
  unloaded: { color: "gray", icon: CircleSlash },
  failed: { color: "red", icon: CircleAlert },
  ingesting: { color: "iris", icon: LoaderCircle, turns: true },
  queued: { color: "yellow", icon: Clock },
  extracting: { color: "iris", icon: LoaderCircle, turns: true },
  completed: { color: "teal", icon: CircleCheck },
  cancelled: { color: "gray", icon: CircleSlash },
};

/** A status in its colour, its icon and its word. */
export function StatusBadge({ status }: { status: Status }) {
  const { color, icon: Icon, turns } = LOOKS[status];
  return (
    <Badge
      color={color}
      variant="light"
      leftSection={<Icon size={12} aria-hidden className={turns ? classes.turns : undefined} />}
      className={classes.badge}
      data-status={status}
    >
      {status}
    </Badge>
  );
}
