import { Badge, Radio, Text } from "@mantine/core";
import type { ReactNode } from "react";
import type { Quantization, Schemas } from "@/api/types";
import { type FormatEstimate, fitInk, fitWord } from "@/ui/fit";
import { bytes, format } from "@/ui/format";
import { batchWords } from "../fits";
import classes from "./fit.module.css";

const KINDS: Record<Quantization, string> = {
  none: "the weights as they were saved",
  fp16: "half precision",
  bf16: "half precision, wide range",
  int8: "a quarter of float32",
  int4: "an eighth of float32",
};

interface Props {
  estimate: Schemas["Estimate"] | null;
  value: Quantization;
  onChange: (value: Quantization) => void;
  error?: ReactNode;
}

/** The formats, each beside what it takes and whether that fits. */
export function FormatChoice({ estimate, value, onChange, error }: Props) {
  return (
    <Radio.Group
      label="Format"
      value={value}
      onChange={(chosen) => onChange(chosen as Quantization)}
      error={error}
    >
      <div className={classes.formats}>
        {(Object.keys(KINDS) as Quantization[]).map((each) => (
          <Radio
            key={each}
            value={each}
            disabled={Boolean(toldOf(estimate, each)?.unavailable)}
            classNames={{
              root: classes.format,
              body: classes.body,
              labelWrapper: classes.wrapper,
              label: classes.label,
            }}
            label={
              <Label
                quantization={each}
                told={toldOf(estimate, each)}
                recommended={estimate?.recommended === each}
              />
            }
          />
        ))}
      </div>
    </Radio.Group>
  );
}

/** Return what an estimate says of a format. */
export function toldOf(
  estimate: Schemas["Estimate"] | null,
  quantization: Quantization,
): FormatEstimate | undefined {
  return estimate?.formats.find((each) => each.quantization === quantization);
}

interface LabelProps {
  quantization: Quantization;
  told: FormatEstimate | undefined;
  recommended: boolean;
}

function Label({ quantization, told, recommended }: LabelProps) {
  return (
    <>
      <span className={classes.name}>
        {format(quantization)}{" "}
        {recommended && (
          <Badge size="xs" variant="light">
            recommended
          </Badge>
        )}
      </span>{" "}
      <span className={classes.figure}>{told && !told.unavailable && bytes(told.total_bytes)}</span>{" "}
      <Text span size="xs" c="dimmed">
        {told && !told.unavailable ? batchWords(told) : KINDS[quantization]}
      </Text>{" "}
      {told && (
        <Text span size="xs" ta="right" c={fitInk(told)}>
          {fitWord(told)}
        </Text>
      )}
      {told?.unavailable && (
        <Text span size="xs" c="dimmed" className={classes.reason}>
          {told.unavailable}
        </Text>
      )}
    </>
  );
}
