import {
  CircleAlert,
  CircleCheck,
  CircleDashed,
  CircleSlash,
  CircleX,
  Clock,
  LoaderCircle,
} from "lucide-react";
import type { CacheStatus, DatasetStatus, ExtractionStatus, ModelStatus } from "@/api/types";
import classes from "./StatusBadge.module.css";

type Status = ModelStatus | DatasetStatus | ExtractionStatus | CacheStatus;

const LOOKS: Record<Status, { tone: string; icon: typeof Clock; turns?: true }> = {
  pending: { tone: "idle", icon: CircleDashed },
  loading: { tone: "busy", icon: LoaderCircle, turns: true },
  ready: { tone: "good", icon: CircleCheck },
  unloaded: { tone: "idle", icon: CircleSlash },
  failed: { tone: "bad", icon: CircleAlert },
  ingesting: { tone: "busy", icon: LoaderCircle, turns: true },
  queued: { tone: "waiting", icon: Clock },
  extracting: { tone: "busy", icon: LoaderCircle, turns: true },
  completed: { tone: "good", icon: CircleCheck },
  cancelled: { tone: "idle", icon: CircleSlash },
  unchecked: { tone: "waiting", icon: Clock },
  missing: { tone: "bad", icon: CircleX },
};

/** A status in its colour, its icon and its word. Plain elements: a list has hundreds of them. */
export function StatusBadge({ status }: { status: Status }) {
  const { tone, icon: Icon, turns } = LOOKS[status];
  return (
    <span className={classes.badge} data-tone={tone} data-status={status}>
      <Icon size={12} aria-hidden className={turns ? classes.turns : undefined} />
      {status}
    </span>
  );
}
