import { Badge, Button, Group, Menu, Text, VisuallyHidden } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Check, ChevronDown, Play } from "lucide-react";
import { useState } from "react";
import { api, unwrap } from "@/api/client";
import { asApiError } from "@/api/errors";
import type { ModelSummary, Quantization } from "@/api/types";
import { loadModel } from "@/state/models";
import { bytes, format } from "@/ui/format";
import { type FormatEstimate, fitInk, fitWord } from "./fits";
import classes from "./ModelCard.module.css";

const FORMATS: readonly Quantization[] = ["none", "fp16", "bf16", "int8", "int4"];

/** Loads a model as it is registered, or in a format chosen beside what it would take. */
export function LoadButton({ model }: { model: ModelSummary }) {
  const [open, setOpen] = useState(false);
  return (
    <Button.Group>
      <Button
        size="xs"
        variant="light"
        leftSection={<Play size={13} aria-hidden />}
        onClick={() => void loadModel(model.id)}
      >
        Load
        <VisuallyHidden component="span">{` ${model.name}`}</VisuallyHidden>
      </Button>
      <Menu opened={open} onChange={setOpen} position="bottom-start" width={380}>
        <Menu.Target>
          <Button
            size="xs"
            px={7}
            variant="light"
            className={classes.more}
            aria-label={`Choose a format for ${model.name}`}
          >
            <ChevronDown size={14} aria-hidden />
          </Button>
        </Menu.Target>
        <Menu.Dropdown>{open && <Formats model={model} />}</Menu.Dropdown>
      </Menu>
    </Button.Group>
  );
}

function Formats({ model }: { model: ModelSummary }) {
  const { id, quantization_options: options } = model;
  const { data, error } = useQuery({
    queryKey: ["model-estimate", id, options],
    queryFn: ({ signal }) =>
      unwrap(
        api.GET("/api/models/{model_id}/estimate", {
          params: { path: { model_id: id }, query: options },
          signal,
        }),
      ),
    // What else is in memory changes while one looks.
    staleTime: 5000,
  });
  return (
    <>
      <Menu.Label>
        {error ? asApiError(error).message : data ? budgetWords(data) : "Reckoning what fits…"}
      </Menu.Label>
      {FORMATS.map((quantization) => {
        const told = data?.formats.find((each) => each.quantization === quantization);
        return (
          <Menu.Item
            key={quantization}
            disabled={Boolean(told?.unavailable)}
            leftSection={
              <Check
                size={14}
                aria-hidden
                visibility={quantization === model.quantization ? "visible" : "hidden"}
              />
            }
            onClick={() => void loadModel(id, { quantization })}
          >
            <Group gap={8} wrap="nowrap">
              <Text size="sm" fw={550}>
                {format(quantization)}
              </Text>
              {quantization === model.quantization && (
                <VisuallyHidden component="span">(registered)</VisuallyHidden>
              )}
              {data?.recommended === quantization && (
                <Badge size="xs" variant="light" flex="none">
                  recommended
                </Badge>
              )}
              {told && <Figures told={told} />}
            </Group>
            {told?.unavailable && (
              <Text size="xs" mt={2}>
                {told.unavailable}
              </Text>
            )}
          </Menu.Item>
        );
      })}
    </>
  );
}

function Figures({ told }: { told: FormatEstimate }) {
  return (
    <Text size="xs" component="span" className={classes.figures}>
      {!told.unavailable && bytes(told.total_bytes)}{" "}
      <Text span inherit c={fitInk(told)} className={classes.verdict}>
        {fitWord(told)}
      </Text>
    </Text>
  );
}

function budgetWords({ budget_bytes, used_bytes }: { budget_bytes: number; used_bytes: number }) {
  return `Load as: ${bytes(budget_bytes - used_bytes)} of ${bytes(budget_bytes)} are free`;
}
