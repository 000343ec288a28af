import { Anchor, Button, Code, Skeleton, Stack, Text } from "@mantine/core";
import { Boxes, Plus, SearchX } from "lucide-react";
import { useMemo } from "react";
import { useEntities } from "@/state/entities";
import { fetchAll } from "@/state/fetching";
import { CopyBlock } from "@/ui/CopyBlock";
import { EmptyState } from "@/ui/EmptyState";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { count } from "@/ui/format";
import { arranger, tally } from "./listing";
import { ModelGrid } from "./ModelGrid";
import classes from "./ModelGrid.module.css";
import { Toolbar } from "./Toolbar";
import { useListing } from "./useListing";

const EXAMPLE = "mistudio models add openai-community/gpt2 --load";
const NO_FILTER = { text: "", status: null, family: null } as const;

interface Props {
  onDelete: (id: string) => void;
  /** Opens the dialog that adds a model; null for who may not. */
  onAdd: (() => void) | null;
}

/** The models that the filters leave, or why there are none. */
export function ModelList({ onDelete, onAdd }: Props) {
  const { listing, filtered, change } = useListing();
  const arrange = useMemo(() => arranger(listing), [listing]);
  const ids = useEntities((state) => arrange(state.models));
  const here = useEntities((state) => tally(state.models).all);
  const { status, error, ...told } = useEntities((state) => state.fetched.models);
  const total = told.total ?? here;

  if (!total) {
    if (error) return <ErrorNotice error={error} onRetry={() => void fetchAll("models")} />;
    return status === "yes" ? <None onAdd={onAdd} /> : <OnTheirWay />;
  }
  return (
    <Stack gap="md">
      {error && <ErrorNotice error={error} onRetry={() => void fetchAll("models")} />}
      <Toolbar listing={listing} onChange={change} />
      <Text size="sm" c="dimmed" role="status">
        {filtered && `${count(ids.length)} of `}
        {total === 1 ? "1 model" : `${count(total)} models`}
        {filtered && ids.length > 0 && (
          <>
            {" · "}
            <Anchor component="button" type="button" size="sm" onClick={() => change(NO_FILTER)}>
              clear filters
            </Anchor>
          </>
        )}
      </Text>
      {ids.length ? (
        <ModelGrid ids={ids} onDelete={onDelete} />
      ) : (
        <EmptyState
          icon={SearchX}
          title="No model matches"
          action={
            <Button variant="default" onClick={() => change(NO_FILTER)}>
              Clear filters
            </Button>
          }
        >
          There {total === 1 ? "is one model" : `are ${count(total)} models`}, and the filters leave
          none of them.
        </EmptyState>
      )}
    </Stack>
  );
}

function None({ onAdd }: { onAdd: (() => void) | null }) {
  if (!onAdd) {
    return (
      <EmptyState icon={Boxes} title="No models yet">
        A token with the scope <Code>model:write</Code> adds them; what is added is shown here.
      </EmptyState>
    );
  }
  return (
    <EmptyState
      icon={Boxes}
      title="No models yet"
      action={
        <Stack align="center" w="100%">
          <Button leftSection={<Plus size={16} aria-hidden />} onClick={onAdd}>
            Add your first model
          </Button>
          <Text size="sm" c="dimmed">
            or from the command line
          </Text>
          <CopyBlock code={EXAMPLE} label="command" />
        </Stack>
      }
    >
      Name one on Hugging Face, or a checkpoint on this machine. You see what it would take in each
      format before anything is downloaded.
    </EmptyState>
  );
}

function OnTheirWay() {
  return (
    <div className={classes.waiting} aria-busy="true">
      {["a", "b", "c", "d", "e", "f"].map((key) => (
        <Skeleton key={key} h={244} radius="md" />
      ))}
    </div>
  );
}
