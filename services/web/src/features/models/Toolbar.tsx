import { CloseButton, Group, NativeSelect, SegmentedControl, TextInput } from "@mantine/core";
import { ArrowDownUp, Search } from "lucide-react";
import { useShallow } from "zustand/react/shallow";
import type { ModelStatus } from "@/api/types";
import { useEntities } from "@/state/entities";
import { familyName } from "@/ui/families";
import { count } from "@/ui/format";
import { families, type Listing, SORTS, type Sort, STATUSES, tally } from "./listing";
import classes from "./Toolbar.module.css";

const SORTED: Record<Sort, string> = {
  newest: "Newest first",
  name: "By name",
  status: "By status",
  memory: "Most memory first",
};

interface Props {
  listing: Listing;
  onChange: (change: Partial<Listing>) => void;
}

/** Filters and the order of the list. */
export function Toolbar({ listing, onChange }: Props) {
  const known = useEntities(useShallow((state) => families(state.models)));
  // A family of the address that no model has must be seen, to be taken away again.
  const chosen = listing.family;
  const types = chosen && !known.includes(chosen) ? [...known, chosen] : known;
  return (
    <Group gap="sm" role="search" aria-label="Filter models">
      <TextInput
        className={classes.text}
        aria-label="Name, id or family"
        placeholder="Name, id or family"
        leftSection={<Search size={16} aria-hidden />}
        rightSection={
          listing.text && (
            <CloseButton
              size="sm"
              aria-label="Clear the text"
              onClick={() => onChange({ text: "" })}
            />
          )
        }
        value={listing.text}
        onChange={(event) => onChange({ text: event.currentTarget.value })}
      />
      <SegmentedControl
        className={classes.statuses}
        aria-label="Status"
        value={listing.status ?? "all"}
        onChange={(value) => onChange({ status: STATUSES.find((each) => each === value) ?? null })}
        data={(["all", ...STATUSES] as const).map((value) => ({
          value,
          label: (
            <>
              {value} <Count of={value} />
            </>
          ),
        }))}
      />
      <NativeSelect
        className={classes.choice}
        aria-label="Family"
        data={[
          { value: "", label: "All families" },
          ...types.map((value) => ({ value, label: familyName(value) })),
        ]}
        value={chosen ?? ""}
        onChange={(event) => onChange({ family: event.currentTarget.value || null })}
      />
      <NativeSelect
        className={classes.choice}
        aria-label="Order"
        leftSection={<ArrowDownUp size={14} aria-hidden />}
        data={SORTS.map((value) => ({ value, label: SORTED[value] }))}
        value={listing.sort}
        onChange={(event) => onChange({ sort: event.currentTarget.value as Sort })}
      />
    </Group>
  );
}

/** How many have a status. It alone is drawn anew when that changes. */
function Count({ of }: { of: ModelStatus | "all" }) {
  const found = useEntities((state) => tally(state.models)[of]);
  return <span className={classes.count}>{count(found)}</span>;
}
