import { Button, Menu, VisuallyHidden } from "@mantine/core";
import { ChevronDown, Play } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import type { ModelSummary, Schemas } from "@/api/types";
import classes from "./LoadButton.module.css";

const Formats = lazy(() => import("./Formats"));

interface Props {
  model: ModelSummary;
  onLoad: (id: string, how?: Schemas["LoadModel"]) => void;
  /** Names the models that would leave memory for it. */
  nameOf: (id: string) => string;
  size?: "xs" | "sm";
}

/** Loads a model as it is registered, or in a format chosen beside what it would take. */
export function LoadButton({ model, onLoad, nameOf, size = "sm" }: Props) {
  const [open, setOpen] = useState(false);
  const look = { size, variant: size === "xs" ? "light" : "filled" } as const;
  return (
    <Button.Group className={classes.group}>
      <Button
        {...look}
        leftSection={<Play size={size === "xs" ? 13 : 16} aria-hidden />}
        onClick={() => onLoad(model.id)}
      >
        {model.status === "failed" ? "Load again" : "Load"}
        <VisuallyHidden component="span">{` ${model.name}`}</VisuallyHidden>
      </Button>
      <Menu
        opened={open}
        onChange={setOpen}
        position="bottom-start"
        width={400}
        // In a menu nothing but its items may be focused.
        withInitialFocusPlaceholder={false}
      >
        <Menu.Target>
          <Button
            {...look}
            px={7}
            className={classes.more}
            aria-label={`Choose a format for ${model.name}`}
          >
            <ChevronDown size={14} aria-hidden />
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Suspense fallback={<Menu.Label>Reckoning what fits…</Menu.Label>}>
            {open && (
              <Formats model={model} onLoad={(how) => onLoad(model.id, how)} nameOf={nameOf} />
            )}
          </Suspense>
        </Menu.Dropdown>
      </Menu>
    </Button.Group>
  );
}
