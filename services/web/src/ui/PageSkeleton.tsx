import { Skeleton, Stack } from "@mantine/core";

/** Holds the place of a screen that is on its way. */
export function PageSkeleton() {
  return (
    <Stack gap="lg" maw={1320} mx="auto" role="status" aria-busy="true" aria-label="Loading">
      <Skeleton h={34} w={200} />
      <Skeleton h={120} />
      <Skeleton h={120} />
    </Stack>
  );
}
