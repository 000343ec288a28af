import { CloseButton, Group, SegmentedControl, Select, TextInput } from "@mantine/core";
import { ArrowDownUp, Search } from "lucide-react";
import { useShallow } from "zustand/react/shallow";
import { useEntities } from "@/state/entities";
import { familyName } from "@/ui/families";
import { count } from "@/ui/format";
import { families, type Listing, type Sort, STATUSES, tally } from "./listing";
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
  const counts = useEntities(useShallow((state) => tally(state.models)));
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
              {value} <span className={classes.count}>{count(counts[value])}</span>
            </>
          ),
        }))}
      />
      <Select
        className={classes.choice}
        aria-label="Family"
        allowDeselect={false}
        searchable={types.length > 8}
        data={[
          { value: "", label: "All families" },
          ...types.map((value) => ({ value, label: familyName(value) })),
        ]}
        value={chosen ?? ""}
        onChange={(family) => onChange({ family: family || null })}
      />
      <Select
        className={classes.choice}
        aria-label="Order"
        leftSection={<ArrowDownUp size={14} aria-hidden />}
        allowDeselect={false}
        data={Object.entries(SORTED).map(([value, label]) => ({ value: value as Sort, label }))}
        value={listing.sort}
        onChange={(sort) => sort && onChange({ sort })}
      />
    </Group>
  );
}
