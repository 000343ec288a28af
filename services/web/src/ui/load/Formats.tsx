import { Badge, Group, Menu, Text, VisuallyHidden } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Check, TriangleAlert } from "lucide-react";
import { api, unwrap } from "@/api/client";
import { asApiError } from "@/api/errors";
import type { ModelSummary, Quantization, Schemas } from "@/api/types";
import { type FormatEstimate, fitInk, fitWord } from "../fit";
import { bytes, format } from "../format";
import { forced, leaving, mayBeForced } from "./eviction";
import classes from "./LoadButton.module.css";

const FORMATS: readonly Quantization[] = ["none", "fp16", "bf16", "int8", "int4"];

interface Props {
  model: ModelSummary;
  onLoad: (how: Schemas["LoadModel"]) => void;
  nameOf: (id: string) => string;
}

/** The formats to load a model in: what each takes, and which models would leave for it. */
export default function Formats({ model, onLoad, nameOf }: Props) {
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
  const unfit = data?.formats.filter(mayBeForced) ?? [];
  return (
    <>
      <Menu.Label>
        {error ? asApiError(error).message : data ? budgetWords(data) : "Reckoning what fits…"}
      </Menu.Label>
      {FORMATS.map((quantization) => {
        const told = data?.formats.find((each) => each.quantization === quantization);
        const below = told && (told.unavailable ?? leaving(told, nameOf));
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
            onClick={() => onLoad({ quantization })}
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
            {below && (
              <Text size="xs" mt={2} className={classes.below}>
                {below}
              </Text>
            )}
          </Menu.Item>
        );
      })}
      {unfit.length > 0 && (
        <>
          <Menu.Divider />
          <Menu.Label>Load it whatever the estimate says; it may then fail</Menu.Label>
          {unfit.map((told) => (
            <Menu.Item
              key={told.quantization}
              leftSection={<TriangleAlert size={14} aria-hidden />}
              onClick={() => onLoad({ quantization: told.quantization, force: true })}
            >
              <Text size="sm" fw={550}>
                Force {format(told.quantization)}
              </Text>
              <Text size="xs" mt={2} className={classes.below}>
                {forced(told, nameOf)}
              </Text>
            </Menu.Item>
          ))}
        </>
      )}
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
