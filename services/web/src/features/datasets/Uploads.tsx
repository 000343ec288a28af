import { ActionIcon, Button, Group, Paper, Stack, Tooltip } from "@mantine/core";
import { X } from "lucide-react";
import { cancelUpload, dismissUpload, retryUpload, type Upload, useUploads } from "@/state/uploads";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { bytes, duration } from "@/ui/format";
import { ProgressLine } from "@/ui/ProgressLine";

/** The files that are on their way, and those that did not arrive. */
export function Uploads() {
  const uploads = useUploads((state) => state.uploads);
  if (!uploads.length) return null;
  return (
    <Stack gap="sm" component="section" aria-label="Uploads">
      {uploads.map((each) =>
        each.error ? (
          <Failed key={each.key} upload={each} />
        ) : (
          <OnItsWay key={each.key} upload={each} />
        ),
      )}
    </Stack>
  );
}

function OnItsWay({ upload }: { upload: Upload }) {
  const { key, fields, sent, total } = upload;
  return (
    <Paper py="sm">
      <Group wrap="nowrap">
        <div style={{ flex: 1, minWidth: 0 }}>
          <ProgressLine
            value={total ? (100 * sent) / total : 0}
            label={sent < total ? `Uploading ${fields.name}` : `${fields.name} is being taken in`}
            detail={figures(upload)}
          />
        </div>
        <Tooltip label="Cancel">
          <ActionIcon
            variant="subtle"
            color="gray"
            onClick={() => cancelUpload(key)}
            aria-label={`Cancel the upload of ${fields.name}`}
          >
            <X size={16} aria-hidden />
          </ActionIcon>
        </Tooltip>
      </Group>
    </Paper>
  );
}

function Failed({ upload: { key, error, fields } }: { upload: Upload }) {
  if (!error) return null;
  return (
    <Paper>
      <Stack gap="xs">
        <ErrorNotice error={error} />
        <Group gap="xs">
          <Button size="xs" variant="default" onClick={() => retryUpload(key)}>
            Upload {fields.name} again
          </Button>
          <Button size="xs" variant="subtle" color="gray" onClick={() => dismissUpload(key)}>
            Dismiss
          </Button>
        </Group>
      </Stack>
    </Paper>
  );
}

function figures({ sent, total, startedAt }: Upload): string {
  const seconds = (Date.now() - startedAt) / 1000;
  const speed = sent / Math.max(seconds, 0.001);
  const how = `${bytes(sent)} of ${bytes(total)}`;
  if (seconds < 1 || sent >= total) return how;
  return `${how} · ${bytes(speed)}/s · ${duration((total - sent) / speed)} left`;
}
