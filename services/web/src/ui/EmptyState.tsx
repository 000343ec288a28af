import { Center, Stack, Text, ThemeIcon, Title } from "@mantine/core";
import type { LucideIcon } from "lucide-react";
import type { ReactNode } from "react";

interface Props {
  icon: LucideIcon;
  title: string;
  /** What it is good for, and how to get there. */
  children: ReactNode;
  /** The next step. */
  action?: ReactNode;
}

/** Where there is nothing yet: says what would be here, and teaches the next step. */
export function EmptyState({ icon: Icon, title, children, action }: Props) {
  return (
    <Center py={72} px="md">
      <Stack align="center" gap="sm" maw={460}>
        <ThemeIcon size={56} radius="xl" variant="light" aria-hidden>
          <Icon size={28} strokeWidth={1.6} />
        </ThemeIcon>
        <Title order={2} size="h4" ta="center">
          {title}
        </Title>
        <Text c="dimmed" ta="center" component="div">
          {children}
        </Text>
        {action}
      </Stack>
    </Center>
  );
}
