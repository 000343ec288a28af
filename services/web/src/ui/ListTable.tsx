import { Group, UnstyledButton, VisuallyHidden } from "@mantine/core";
import { ArrowDown, ArrowUp, ChevronsUpDown } from "lucide-react";
import { DataTable } from "mantine-datatable";
import "mantine-datatable/styles.css";
import { type ReactNode, useState } from "react";
import classes from "./ListTable.module.css";

const PAGE = 50;

export interface ListColumn<T> {
  title: string;
  /** The title is only told to who does not see the table. */
  untitled?: true;
  render: (row: T) => ReactNode;
  /** What rows are sorted by; without it they are not by this column. */
  sortBy?: (row: T) => string | number;
  align?: "left" | "right";
  width?: number | string;
  /** Least width of the window, in pixels, at which the column is shown. */
  from?: number;
}

interface Props<T> {
  /** What it lists, for who does not see it. */
  label: string;
  rows: readonly T[];
  idOf: (row: T) => string;
  columns: readonly ListColumn<T>[];
  /** Title of the column that rows are sorted by at first, and whether the largest comes first. */
  sorted: { by: string; down: boolean };
  /** Where no row is left by a filter. */
  nothing?: string;
}

/** A list of many things: sorted by a click on a column's title, some at a time. */
export function ListTable<T>({ label, rows, idOf, columns, sorted, nothing }: Props<T>) {
  const [order, setOrder] = useState(sorted);
  const [page, setPage] = useState(1);
  const last = Math.max(1, Math.ceil(rows.length / PAGE));
  const shown = Math.min(page, last);
  const inOrder = sort(rows, columns.find(({ title }) => title === order.by)?.sortBy, order.down);
  const pages =
    rows.length > PAGE
      ? {
          page: shown,
          onPageChange: setPage,
          totalRecords: rows.length,
          recordsPerPage: PAGE,
          paginationText: told,
        }
      : {};
  return (
    <DataTable<T>
      aria-label={label}
      records={inOrder.slice((shown - 1) * PAGE, shown * PAGE)}
      idAccessor={idOf}
      withTableBorder
      borderRadius="md"
      highlightOnHover
      verticalSpacing="sm"
      horizontalSpacing="md"
      minHeight={rows.length ? 0 : 160}
      noRecordsText={nothing ?? "Nothing here"}
      classNames={classes}
      columns={columns.map(({ title, untitled, render, sortBy, align = "left", width, from }) => ({
        accessor: title,
        title: sortBy ? (
          <SortButton
            title={title}
            align={align}
            down={order.by === title ? order.down : null}
            onSort={() =>
              setOrder({ by: title, down: order.by === title ? !order.down : align === "right" })
            }
          />
        ) : untitled ? (
          <VisuallyHidden>{title}</VisuallyHidden>
        ) : (
          title
        ),
        render: (row) => render(row),
        textAlign: align,
        ...(width === undefined ? {} : { width }),
        ...(from === undefined ? {} : { visibleMediaQuery: `(min-width: ${from}px)` }),
      }))}
      {...pages}
    />
  );
}

function told({ from, to, totalRecords }: { from: number; to: number; totalRecords: number }) {
  return `${from}–${to} of ${totalRecords}`;
}

interface SortProps {
  title: string;
  align: "left" | "right";
  /** Whether the largest comes first; null where rows are not sorted by it. */
  down: boolean | null;
  onSort: () => void;
}

// The table's own sortable headers are buttons to a screen reader, and headers no more.
function SortButton({ title, align, down, onSort }: SortProps) {
  const Icon = down === null ? ChevronsUpDown : down ? ArrowDown : ArrowUp;
  const state = down === null ? "" : `, sorted ${down ? "descending" : "ascending"}`;
  return (
    <UnstyledButton
      className={classes.sort}
      onClick={onSort}
      aria-label={`${title}${state}`}
      data-sorted={down !== null || undefined}
    >
      <Group gap={4} wrap="nowrap" justify={align === "right" ? "flex-end" : "flex-start"}>
        {title}
        <Icon size={13} aria-hidden />
      </Group>
    </UnstyledButton>
  );
}

function sort<T>(
  rows: readonly T[],
  by: ((row: T) => string | number) | undefined,
  down: boolean,
): readonly T[] {
  if (!by) return rows;
  const sign = down ? -1 : 1;
  return rows.toSorted((one, other) => {
    const [a, b] = [by(one), by(other)];
    const order =
      typeof a === "string" || typeof b === "string"
        ? String(a).localeCompare(String(b), "en", { numeric: true })
        : a - b;
    return sign * order;
  });
}
