import { Badge, Radio, Table, Text } from "@mantine/core";
import { Framed } from "@/ui/Framed";
import type { Column } from "./head";
import classes from "./RowsTable.module.css";
import { shown } from "./shown";

interface Props {
  label: string;
  columns: readonly Column[];
  rows: readonly Record<string, unknown>[];
  /** The column that samples are taken from. */
  chosen: string | null;
  /** Chooses another one; without it nothing can be chosen. */
  onChoose?: (name: string) => void;
}

/** The first rows of a dataset, with the column that samples are taken from. */
export function RowsTable({ label, columns, rows, chosen, onChoose }: Props) {
  const table = (
    <Framed>
      <Table.ScrollContainer minWidth={Math.max(320, columns.length * 160)} type="native">
        <Table className={classes.table} aria-label={label} verticalSpacing={8}>
          <Table.Thead>
            <Table.Tr>
              {columns.map((column) => (
                <Table.Th key={column.name} data-chosen={column.name === chosen || undefined}>
                  <Heading column={column} chosen={chosen} choosable={onChoose !== undefined} />
                </Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {rows.map((row, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: rows have no other name, and stay
              <Table.Tr key={index}>
                {columns.map(({ name, kind }) => (
                  <Table.Td key={name} data-chosen={name === chosen || undefined} data-kind={kind}>
                    <div className={classes.cell}>{shown(row[name])}</div>
                  </Table.Td>
                ))}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </Framed>
  );
  if (!onChoose) return table;
  return (
    <Radio.Group
      label="Column to take samples from"
      value={chosen}
      onChange={onChoose}
      labelProps={{ mb: 6 }}
    >
      {table}
    </Radio.Group>
  );
}

interface HeadingProps {
  column: Column;
  chosen: string | null;
  choosable: boolean;
}

function Heading({ column: { name, kind }, chosen, choosable }: HeadingProps) {
  const badge = (
    <Badge size="xs" variant="default" miw="max-content" aria-hidden={choosable || undefined}>
      {kind}
    </Badge>
  );
  if (!choosable) {
    return (
      <Text component="span" className={classes.heading}>
        {name} {badge}
        {name === chosen && (
          <Badge size="xs" variant="filled" miw="max-content">
            samples
          </Badge>
        )}
      </Text>
    );
  }
  return (
    <Radio
      size="xs"
      value={name}
      disabled={kind === "other"}
      aria-label={`${name} (${kind})`}
      label={
        <span className={classes.heading}>
          {name} {badge}
        </span>
      }
    />
  );
}
