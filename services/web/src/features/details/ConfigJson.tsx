import { ActionIcon, Button, Group, Highlight, Stack, Text, TextInput } from "@mantine/core";
import { Check, Copy, FileQuestion, Search, X } from "lucide-react";
import { useMemo, useState } from "react";
import type { Model } from "@/api/types";
import { EmptyState } from "@/ui/EmptyState";
import { count } from "@/ui/format";
import { useCopying } from "@/ui/useCopying";
import classes from "./ConfigJson.module.css";
import { flat } from "./flat";

/** The checkpoint's `config.json`: to be searched by name or value, and copied whole. */
export function ConfigJson({ config }: { config: Model["config"] }) {
  const [search, setSearch] = useState("");
  const lines = useMemo(() => flat(config), [config]);
  const words = search.trim().toLowerCase();
  const { copied, copy } = useCopying(JSON.stringify(config, null, 2));
  const found = lines.filter(({ path, value }) => `${path} ${value}`.toLowerCase().includes(words));
  if (!lines.length) {
    return (
      <EmptyState icon={FileQuestion} title="No config yet">
        Nobody has looked at the checkpoint yet: its first load will.
      </EmptyState>
    );
  }
  return (
    <Stack gap="md">
      <Group gap="sm">
        <TextInput
          flex={1}
          maw={420}
          miw={200}
          aria-label="Search the config"
          placeholder="Search names and values"
          leftSection={<Search size={16} aria-hidden />}
          rightSection={
            search && (
              <ActionIcon
                variant="subtle"
                color="gray"
                aria-label="Clear the search"
                onClick={() => setSearch("")}
              >
                <X size={16} aria-hidden />
              </ActionIcon>
            )
          }
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
        />
        <Text size="sm" c="dimmed" role="status">
          {words ? `${count(found.length)} of ${count(lines.length)}` : count(lines.length)} entries
        </Text>
        <Button
          variant="default"
          ml="auto"
          onClick={copy}
          leftSection={copied ? <Check size={16} aria-hidden /> : <Copy size={16} aria-hidden />}
        >
          {copied ? "Copied" : "Copy JSON"}
        </Button>
      </Group>
      <dl className={classes.list}>
        {found.map(({ path, value }) => (
          <div key={path} className={classes.line}>
            <Highlight component="dt" highlight={search.trim()} inherit className={classes.path}>
              {path}
            </Highlight>
            <Highlight component="dd" highlight={search.trim()} inherit className={classes.value}>
              {value}
            </Highlight>
          </div>
        ))}
      </dl>
      {!found.length && (
        <Text c="dimmed" ta="center" py="xl">
          Nothing in the config holds “{search.trim()}”.
        </Text>
      )}
    </Stack>
  );
}
