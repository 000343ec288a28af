import { Paper } from "@mantine/core";
import type { ReactNode } from "react";
import classes from "./Framed.module.css";

/** A frame around a table, which scrolls in it where it is wider. */
export function Framed({ children }: { children: ReactNode }) {
  return (
    <Paper p={0} className={classes.frame}>
      {children}
    </Paper>
  );
}
