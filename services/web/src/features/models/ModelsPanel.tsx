import { Button } from "@mantine/core";
import { Plus } from "lucide-react";
import { lazy, Suspense, useCallback, useState } from "react";
import { Outlet } from "react-router";
import { useEntities } from "@/state/entities";
import { useMay } from "@/state/session";
import { bytes, count } from "@/ui/format";
import { Page } from "@/ui/Page";
import { tally } from "./listing";
import { ModelList } from "./ModelList";
import { useListing } from "./useListing";

const AddModelModal = lazy(() => import("./add/AddModelModal"));
const DeleteModel = lazy(() => import("./DeleteModel"));

/** The models: which there are, how they stand, and what can be done with them. */
export default function ModelsPanel() {
  const { adding, change } = useListing();
  const mayWrite = useMay("model:write");
  const [deleting, setDeleting] = useState<{ id: string; open: boolean } | null>(null);
  const add = useCallback(() => change({ adding: true }), [change]);
  const ask = useCallback((id: string) => setDeleting({ id, open: true }), []);
  const wasAdding = useOnceTrue(adding && mayWrite);
  return (
    <Page
      title="Models"
      description={<Summary />}
      actions={
        mayWrite && (
          <Button leftSection={<Plus size={16} aria-hidden />} onClick={add}>
            Add model
          </Button>
        )
      }
    >
      <ModelList onDelete={ask} onAdd={mayWrite ? add : null} />
      <Suspense fallback={null}>
        {wasAdding && (
          <AddModelModal opened={adding && mayWrite} onClose={() => change({ adding: false })} />
        )}
      </Suspense>
      <Suspense fallback={null}>
        {deleting && (
          <DeleteModel
            id={deleting.id}
            opened={deleting.open}
            onClose={() => setDeleting({ ...deleting, open: false })}
          />
        )}
      </Suspense>
      <Suspense fallback={null}>
        <Outlet />
      </Suspense>
    </Page>
  );
}

/** How many are in memory, and how much of it they take. */
function Summary() {
  const ready = useEntities((state) => tally(state.models).ready);
  const used = useEntities((state) => sum(state.devices, "memory_used_bytes"));
  const budget = useEntities((state) => sum(state.devices, "memory_budget_bytes"));
  if (!budget) return `${count(ready)} in memory`;
  return `${count(ready)} in memory, ${bytes(used)} of a budget of ${bytes(budget)}`;
}

function sum<K extends string>(
  devices: Readonly<Record<string, { online: boolean } & Record<K, number>>>,
  of: K,
): number {
  let all = 0;
  for (const device of Object.values(devices)) if (device.online) all += device[of];
  return all;
}

/** Whether the value has ever been true: a dialog that was open stays, to close with grace. */
function useOnceTrue(value: boolean): boolean {
  const [once, setOnce] = useState(value);
  if (value && !once) setOnce(true);
  return once || value;
}
