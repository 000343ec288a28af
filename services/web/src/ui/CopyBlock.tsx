import { ActionIcon, Box, Code, Tooltip } from "@mantine/core";
import { Check, Copy } from "lucide-react";
import { useCopying } from "./useCopying";

/** Code to be copied as a whole. */
export function CopyBlock({ code, label }: { code: string; label: string }) {
  const { copied, copy } = useCopying(code);
  return (
    <Box pos="relative">
      <Code block pr={48} aria-label={label} tabIndex={0}>
        {code}
      </Code>
      <Tooltip label={copied ? "Copied" : "Copy"}>
        <ActionIcon
          pos="absolute"
          top={8}
          right={8}
          variant="default"
          onClick={copy}
          aria-label={copied ? "Copied" : `Copy ${label}`}
        >
          {copied ? <Check size={16} aria-hidden /> : <Copy size={16} aria-hidden />}
        </ActionIcon>
      </Tooltip>
    </Box>
  );
}
