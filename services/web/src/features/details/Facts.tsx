import { ActionIcon, Group, SimpleGrid, Stack, Text, Title, Tooltip } from "@mantine/core";
import { Check, Copy } from "lucide-react";
import type { ReactNode } from "react";
import type { ModelSummary } from "@/api/types";
import { ago, bytes, count, duration, format, magnitude, moment } from "@/ui/format";
import { useCopying } from "@/ui/useCopying";
import classes from "./Facts.module.css";

const SOURCES = { huggingface: "Hugging Face", local: "Local files", custom: "Custom" } as const;

/** What there is to know of a model: its figures large, where it comes from below. */
export function Facts({ model }: { model: ModelSummary }) {
  return (
    <Stack gap="lg" component="section" aria-label="Facts">
      <SimpleGrid component="dl" m={0} cols={{ base: 2, xs: 3, md: 6 }} spacing="sm">
        <Figure label="Parameters" value={magnitude(model.parameter_count)} />
        <Figure label="Layers" value={count(model.num_layers)} />
        <Figure label="Hidden size" value={count(model.hidden_size)} />
        <Figure label="Context" value={count(model.context_length)} />
        <Figure label="Vocabulary" value={count(model.vocab_size)} />
        <Figure label="In memory" value={bytes(model.memory_usage_bytes)} />
      </SimpleGrid>
      <div>
        <Title order={3} size="h5" mb="xs">
          Where it comes from
        </Title>
        <dl className={classes.list}>
          <Fact label="Source">{sourceOf(model)}</Fact>
          <Fact label="Identifier" code copy={model.model_identifier} />
          <Fact label="Revision" code copy={model.revision} />
          <Fact label="Architecture" code copy={model.architecture} />
          <Fact label="Fingerprint" code copy={model.fingerprint} />
          <Fact label="Prepared as">
            {model.disk_bytes === null
              ? "–"
              : `${format(model.quantization)}, ${model.dtype ?? "–"}, ${bytes(model.disk_bytes)} on disk`}
          </Fact>
          <Fact label="Last load">
            {model.load_time_seconds === null
              ? "–"
              : `in ${duration(model.load_time_seconds)}, ${ago(model.loaded_at)}`}
          </Fact>
          <Fact label="Last used">{ago(model.last_used_at)}</Fact>
          <Fact label="Registered">{moment(model.created_at)}</Fact>
        </dl>
      </div>
    </Stack>
  );
}

function sourceOf({ source }: ModelSummary): string {
  return SOURCES[source];
}

function Figure({ label, value }: { label: string; value: string }) {
  return (
    <div className={classes.figure}>
      <Text component="dt" size="xs" c="dimmed">
        {label}
      </Text>
      <Text component="dd" m={0} fw={650} fz={20} lh={1.3}>
        {value}
      </Text>
    </div>
  );
}

interface FactProps {
  label: string;
  /** Written as code. */
  code?: true;
  /** A text that can be copied, and stands for itself. */
  copy?: string | null;
  children?: ReactNode;
}

function Fact({ label, code, copy, children }: FactProps) {
  return (
    <div className={classes.fact}>
      <Text component="dt" size="sm" c="dimmed">
        {label}
      </Text>
      <Group component="dd" m={0} gap={4} wrap="nowrap" miw={0}>
        <Text
          size="sm"
          truncate
          title={copy ?? undefined}
          {...(code ? { ff: "monospace", fz: 13 } : {})}
        >
          {children ?? copy ?? "–"}
        </Text>
        {copy && <CopyIt value={copy} label={label} />}
      </Group>
    </div>
  );
}

function CopyIt({ value, label }: { value: string; label: string }) {
  const { copied, copy } = useCopying(value);
  return (
    <Tooltip label={copied ? "Copied" : "Copy"}>
      <ActionIcon
        size="sm"
        variant="subtle"
        color="gray"
        onClick={copy}
        aria-label={copied ? "Copied" : `Copy ${label.toLowerCase()}`}
      >
        {copied ? <Check size={14} aria-hidden /> : <Copy size={14} aria-hidden />}
      </ActionIcon>
    </Tooltip>
  );
}
