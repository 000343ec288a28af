import { Stack } from "@mantine/core";
import type { Model, ModelSummary } from "@/api/types";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { Configuration } from "./Configuration";
import { Facts } from "./Facts";
import { Fidelity } from "./Fidelity";
import classes from "./Overview.module.css";

interface Props {
  model: ModelSummary;
  fidelity: Model["fidelity"];
}

/** A model's facts and fidelity, beside how it is configured. */
export function Overview({ model, fidelity }: Props) {
  return (
    <div className={classes.columns}>
      <Stack gap="xl" miw={0}>
        {model.error && <ErrorNotice error={model.error} />}
        <Facts model={model} />
        {fidelity && <Fidelity report={fidelity} />}
      </Stack>
      <Configuration model={model} />
    </div>
  );
}
