import {
  Box,
  Skeleton,
  useComputedColorScheme,
  useMantineTheme,
  VisuallyHidden,
} from "@mantine/core";
import type { EChartsCoreOption, EChartsType } from "echarts/core";
import { type ReactNode, useEffect, useRef, useState } from "react";

/** Colours for several series, told apart also by who sees few colours (Okabe and Ito, 2008). */
export const SERIES = ["#5265dc", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a8f3a"];

/** Light to dark for amounts, readable on both backgrounds. */
export const AMOUNTS = {
  light: ["#f2f4fd", "#b4bdf1", "#6878e0", "#3043af", "#1b2a77"],
  dark: ["#1b2140", "#2f3c8f", "#5265dc", "#8b98e8", "#dbe0fb"],
} as const;

interface Props {
  option: EChartsCoreOption;
  height: number;
  /** What the picture shows, for who does not see it. */
  label: string;
  /** The same as a table, read out in its place. */
  table?: ReactNode;
  onClick?: (event: { dataIndex: number; seriesIndex?: number; data: unknown }) => void;
}

/** A chart. Its library comes when the first chart does. */
export function Chart({ option, height, label, table, onClick }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<EChartsType | null>(null);
  const [ready, setReady] = useState(false);
  const scheme = useComputedColorScheme("light");
  const theme = useMantineTheme();
  const clicked = useRef(onClick);
  clicked.current = onClick;

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    let ended = false;
    const observer = new ResizeObserver(() => chart.current?.resize());
    void import("./echarts").then(({ init }) => {
      if (ended) return;
      chart.current = init(element, scheme === "dark" ? "dark" : undefined);
      chart.current.on("click", (event) => clicked.current?.(event as never));
      observer.observe(element);
      setReady(true);
    });
    return () => {
      ended = true;
      observer.disconnect();
      chart.current?.dispose();
      chart.current = null;
      setReady(false);
    };
  }, [scheme]);

  useEffect(() => {
    if (!ready) return;
    chart.current?.setOption(
      {
        backgroundColor: "transparent",
        color: SERIES,
        textStyle: { fontFamily: theme.fontFamily },
        animationDuration: 300,
        ...option,
      },
      { notMerge: true },
    );
  }, [option, ready, theme.fontFamily]);

  return (
    <Box component="figure" m={0} aria-label={label}>
      <Box pos="relative" h={height}>
        {!ready && <Skeleton pos="absolute" inset={0} />}
        <div ref={box} style={{ height }} aria-hidden="true" />
      </Box>
      {table && <VisuallyHidden>{table}</VisuallyHidden>}
    </Box>
  );
}
