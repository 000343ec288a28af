import { NumberInput, Stack, Switch } from "@mantine/core";
import type { UseFormReturnType } from "@mantine/form";
import type { Values } from "./form";

interface Props {
  form: UseFormReturnType<Values>;
  /** Whether it would fit as it is chosen. */
  loadable: boolean;
}

/** When it is loaded, and how long it stays. */
export function Keeping({ form, loadable }: Props) {
  return (
    <Stack gap="sm">
      <Switch
        label="Load at once"
        description={
          loadable
            ? "Fetch its weights and place it in memory."
            : "As it is chosen, it cannot be loaded."
        }
        disabled={!loadable}
        {...form.getInputProps("auto_load")}
        checked={form.values.auto_load && loadable}
      />
      <Switch
        label="Pin"
        description="Never evicted, and brought back when its device starts."
        {...form.getInputProps("pinned", { type: "checkbox" })}
      />
      <NumberInput
        label="Keep alive, in minutes"
        placeholder="until its memory is needed"
        description="Without use for so long, it leaves memory."
        min={0}
        max={1_000_000}
        hideControls
        {...form.getInputProps("keep_alive_minutes")}
      />
    </Stack>
  );
}
