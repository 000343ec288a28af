import { Badge, Card, Group, Text, Title, Tooltip } from "@mantine/core";
import { Pin } from "lucide-react";
import { memo } from "react";
import { Link, useLocation } from "react-router";
import type { ModelSummary } from "@/api/types";
import { useEntities } from "@/state/entities";
import { useSelection } from "@/state/selection";
import { familyName } from "@/ui/families";
import { bytes, count, format, magnitude } from "@/ui/format";
import { StatusBadge } from "@/ui/StatusBadge";
import { ModelActions } from "./ModelActions";
import classes from "./ModelCard.module.css";
import { ModelState } from "./ModelState";

interface Props {
  id: string;
  /** Asks whether it shall be deleted. */
  onDelete: (id: string) => void;
}

/** A model: what it is, how it stands, and what can be done with it. */
export const ModelCard = memo(function ModelCard({ id, onDelete }: Props) {
  const model = useEntities((state) => state.models[id]);
  const selected = useSelection((selection) => selection.modelId === id);
  const select = useSelection((selection) => selection.select);
  const { search } = useLocation();
  if (!model) return null;
  const title = `model-${id}`;
  return (
    <Card
      component="article"
      className={classes.card}
      aria-labelledby={title}
      aria-current={selected || undefined}
      data-selected={selected || undefined}
      data-model={id}
      onClick={() => select(id)}
    >
      <Group justify="space-between" gap="sm" wrap="nowrap">
        <Group gap={6} wrap="nowrap" miw={0}>
          <Title order={2} size="h5" id={title} lineClamp={1}>
            <Link to={{ pathname: `/models/${id}`, search }} className={classes.name}>
              {model.name}
            </Link>
          </Title>
          {model.pinned && (
            <Tooltip label="Pinned: never evicted">
              <Pin size={14} role="img" aria-label="Pinned" style={{ flex: "none" }} />
            </Tooltip>
          )}
        </Group>
        <StatusBadge status={model.status} />
      </Group>
      <Group justify="space-between" gap="sm" wrap="nowrap" mt={4}>
        <Text size="xs" c="dimmed" ff="monospace" truncate title={model.model_identifier}>
          {model.model_identifier}
        </Text>
        <Badge variant="default" size="sm" flex="none">
          {formatWords(model)}
        </Badge>
      </Group>
      <dl className={classes.facts}>
        <Fact name="Family" value={model.model_type ? familyName(model.model_type) : "unknown"} />
        <Fact name="Parameters" value={magnitude(model.parameter_count)} />
        <Fact name="Layers" value={count(model.num_layers)} />
        <Fact name="Memory" value={bytes(model.memory_usage_bytes)} />
      </dl>
      <div className={classes.state}>
        <ModelState model={model} />
      </div>
      <ModelActions model={model} onDelete={onDelete} />
    </Card>
  );
});

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd title={value}>{value}</dd>
    </div>
  );
}

/** The format as a word; of int4 also its code book, and that blocks stay on the disk. */
function formatWords({ quantization, quantization_options, offload }: ModelSummary): string {
  const kind = quantization === "int4" ? ` ${quantization_options.int4_type}` : "";
  return `${format(quantization)}${kind}${offload ? ", offload" : ""}`;
}
