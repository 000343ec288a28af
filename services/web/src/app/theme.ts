import {
  type BadgeProps,
  type ButtonProps,
  type CardProps,
  createTheme,
  type MantineColorsTuple,
  type ModalProps,
  type PaperProps,
  type TooltipProps,
} from "@mantine/core";

/** Indigo that leans to blue: readable on white and on near-black alike. */
const iris: MantineColorsTuple = [
  "#eef1ff",
  "#dbe0fb",
  "#b4bdf1",
  "#8b98e8",
  "#6878e0",
  "#5265dc",
  "#465adb",
  "#384bc3",
  "#3043af",
  "#24389b",
];

/** Cool greys, so that colours of data stand out. */
const dark: MantineColorsTuple = [
  "#d5d9e2",
  "#b4bac8",
  "#8f97aa",
  "#6b7388",
  "#454c5e",
  "#343a49",
  "#262b37",
  "#1b1f29",
  "#14171f",
  "#0e1016",
];

export const theme = createTheme({
  primaryColor: "iris",
  primaryShade: { light: 6, dark: 5 },
  colors: { iris, dark },
  fontFamily: "'Inter Variable', system-ui, sans-serif",
  fontFamilyMonospace: "'JetBrains Mono Variable', ui-monospace, monospace",
  headings: { fontFamily: "'Inter Variable', system-ui, sans-serif", fontWeight: "650" },
  defaultRadius: "md",
  cursorType: "pointer",
  autoContrast: true,
  // Where black and white are equally readable.
  luminanceThreshold: 0.18,
  respectReducedMotion: true,
  // Their names and not they themselves, or every first load would bring all of them.
  components: {
    Button: props<ButtonProps>({ size: "sm" }),
    Badge: props<BadgeProps>({ tt: "none", fw: 550, radius: "sm" }),
    Card: props<CardProps>({ withBorder: true, padding: "md", shadow: "none" }),
    Paper: props<PaperProps>({ withBorder: true, p: "md" }),
    Modal: props<ModalProps>({
      centered: true,
      overlayProps: { backgroundOpacity: 0.55 },
      // It is a header element, but no second banner of the page.
      attributes: { header: { role: "none" } },
    }),
    Tooltip: props<TooltipProps>({ openDelay: 300, withArrow: true }),
  },
});

function props<P>(defaultProps: Partial<P>) {
  return { defaultProps };
}
