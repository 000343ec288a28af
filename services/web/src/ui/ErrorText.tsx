import { Text, type TextProps } from "@mantine/core";
import type { ReactNode } from "react";
import classes from "./ErrorText.module.css";

/** What is wrong with one thing, beside it. */
export function ErrorText({ children, ...props }: TextProps & { children: ReactNode }) {
  return (
    <Text size="sm" className={classes.error} {...props}>
      {children}
    </Text>
  );
}
