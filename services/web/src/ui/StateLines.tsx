import type { ReactNode } from "react";
import classes from "./StateLines.module.css";

interface Props {
  /** What goes on, or how it stands. */
  label: string;
  /** At its right: how far, or how much. */
  figure?: ReactNode;
  /** 0 to 100; null is no bar. */
  value?: number | null;
  /** Of work on its way the bar is told to who cannot see it; a share of something is decoration. */
  tone?: "busy" | "good";
  detail?: string | null;
  /** Whether the details may take more than a line. */
  wrap?: boolean;
}

/** How something stands: a title, a bar, details. Plain elements: a list has hundreds of them. */
export function StateLines({ label, figure, value = null, tone = "busy", detail, wrap }: Props) {
  return (
    <div className={classes.lines}>
      <div className={classes.head}>
        <span className={classes.label}>{label}</span>
        {figure && <span className={classes.figure}>{figure}</span>}
      </div>
      {value !== null && (
        <div
          className={classes.track}
          {...(tone === "busy"
            ? {
                role: "progressbar",
                "aria-label": label,
                "aria-valuemin": 0,
                "aria-valuemax": 100,
                "aria-valuenow": value,
              }
            : { "aria-hidden": true })}
        >
          <div
            className={classes.bar}
            data-tone={tone}
            style={{ transform: `translateX(${value - 100}%)` }}
          />
        </div>
      )}
      {detail && (
        <div className={classes.detail} data-wrap={wrap}>
          {detail}
        </div>
      )}
    </div>
  );
}
