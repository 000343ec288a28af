import { Alert, Group, Loader, Text } from "@mantine/core";
import { useLiveness } from "@/live/status";

const WORDS = {
  reconnecting: "The connection was lost. Trying to reconnect…",
  polling: "Live updates are away. The state is asked for every 5 seconds until they are back.",
} as const;

/** Says when what is on the screen is not live. */
export function LiveBanner() {
  const status = useLiveness((live) => live.status);
  const words = status === "reconnecting" || status === "polling" ? WORDS[status] : null;
  return (
    <div aria-live="polite">
      {words && (
        <Alert color="yellow" radius={0} py={8}>
          <Group gap="xs">
            <Loader size={14} color="yellow" aria-hidden />
            <Text size="sm">{words}</Text>
          </Group>
        </Alert>
      )}
    </div>
  );
}
