import { Alert, Button, Group, Text } from "@mantine/core";
import { CircleAlert } from "lucide-react";
import type { ApiError } from "@/api/errors";
import type { ErrorBody } from "@/api/types";

interface Props {
  error: ApiError | ErrorBody;
  /** Asks again, where that may help. */
  onRetry?: () => void;
}

/** An error of the contract as a person should read it: what happened, and what to do. */
export function ErrorNotice({ error, onRetry }: Props) {
  const remedy = error.details?.remedy;
  return (
    <Alert color="red" variant="light" icon={<CircleAlert aria-hidden />} title={error.message}>
      {typeof remedy === "string" && <Text size="sm">{remedy}</Text>}
      <Group gap="sm" mt={4} align="center">
        {error.code && (
          <Text size="xs" c="dimmed" ff="monospace">
            {error.code}
          </Text>
        )}
        {onRetry && (
          <Button size="compact-xs" variant="light" color="red" onClick={onRetry}>
            Try again
          </Button>
        )}
      </Group>
    </Alert>
  );
}
