import { Box, Button, Code, FileButton, Stack, Text } from "@mantine/core";
import { Database, FileUp } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { useShallow } from "zustand/react/shallow";
import type { Dataset } from "@/api/types";
import { useEntities } from "@/state/entities";
import { fetchAll } from "@/state/fetching";
import { useMay } from "@/state/session";
import { CopyBlock } from "@/ui/CopyBlock";
import { EmptyState } from "@/ui/EmptyState";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { bytes, count } from "@/ui/format";
import { Page } from "@/ui/Page";
import { PageSkeleton } from "@/ui/PageSkeleton";
import { DatasetsTable } from "./DatasetsTable";
import { Uploads } from "./Uploads";

const DropArea = lazy(() => import("./DropArea"));
const UploadDialog = lazy(() => import("./UploadDialog"));
const RegisterDialog = lazy(() => import("./RegisterDialog"));
const DeleteDataset = lazy(() => import("./DeleteDataset"));

/** The datasets: which there are, and new ones by file, path or hub id. */
export default function DatasetsPanel() {
  const datasets = useEntities(useShallow((state) => Object.values(state.datasets)));
  const { status, error } = useEntities((state) => state.fetched.datasets);
  const mayWrite = useMay("model:write");
  const [file, setFile] = useState<{ file: File; open: boolean } | null>(null);
  const [registering, setRegistering] = useState<boolean | null>(null);
  const [deleting, setDeleting] = useState<{ dataset: Dataset; open: boolean } | null>(null);
  const take = (taken: File | null) => taken && setFile({ file: taken, open: true });

  if (status !== "yes" && !datasets.length) return <PageSkeleton />;
  return (
    <Page
      title="Datasets"
      description={<Summary datasets={datasets} />}
      actions={
        mayWrite && (
          <>
            <Button variant="default" onClick={() => setRegistering(true)}>
              Register…
            </Button>
            <FileButton onChange={take}>
              {(props) => (
                <Button leftSection={<FileUp size={16} aria-hidden />} {...props}>
                  Upload file
                </Button>
              )}
            </FileButton>
          </>
        )
      }
    >
      {error && <ErrorNotice error={error} onRetry={() => void fetchAll("datasets")} />}
      <Uploads />
      {mayWrite && (
        <Suspense fallback={null}>
          <DropArea onFile={take} />
        </Suspense>
      )}
      {datasets.length ? (
        <Stack gap="sm">
          <DatasetsTable
            datasets={datasets}
            onDelete={(dataset) => setDeleting({ dataset, open: true })}
          />
        </Stack>
      ) : (
        !error && <None mayWrite={mayWrite} />
      )}
      <Suspense fallback={null}>
        {file && (
          <UploadDialog
            file={file.file}
            opened={file.open}
            onClose={() => setFile({ ...file, open: false })}
          />
        )}
        {registering !== null && (
          <RegisterDialog opened={registering} onClose={() => setRegistering(false)} />
        )}
        {deleting && (
          <DeleteDataset
            dataset={deleting.dataset}
            opened={deleting.open}
            onClose={() => setDeleting({ ...deleting, open: false })}
          />
        )}
      </Suspense>
    </Page>
  );
}

function Summary({ datasets }: { datasets: readonly Dataset[] }) {
  if (!datasets.length) return "Texts or token ids that activations are captured over.";
  const sum = (of: (dataset: Dataset) => number | null) =>
    datasets.reduce((all, dataset) => all + (of(dataset) ?? 0), 0);
  return `${count(sum(({ sample_count }) => sample_count))} samples, ${bytes(
    sum(({ file_size_bytes }) => file_size_bytes),
  )}`;
}

function None({ mayWrite }: { mayWrite: boolean }) {
  return (
    <EmptyState icon={Database} title="No datasets yet">
      <Stack gap="sm">
        <Text inherit>
          A dataset is what a model reads while its activations are captured: a text a row, such as{" "}
          <Code>{'{"text": "A sample."}'}</Code>, or a list of token ids.
        </Text>
        {mayWrite ? (
          <>
            <Text inherit>
              Drop a file above, or register one that the service can read itself. From a terminal:
            </Text>
            <Box ta="left">
              <CopyBlock code="mistudio datasets add ./texts.jsonl" label="the command" />
            </Box>
          </>
        ) : (
          <Text inherit>
            Adding one takes a token with the scope <b>model:write</b>.
          </Text>
        )}
      </Stack>
    </EmptyState>
  );
}
