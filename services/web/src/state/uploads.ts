/** Files on their way to the gateway, whichever screen one looks at meanwhile. */
import { create } from "zustand";
import { type ApiError, asApiError } from "@/api/errors";
import type { Dataset, Schemas } from "@/api/types";
import { sendForm } from "@/api/upload";
import { put } from "./entities";
import { useSession } from "./session";

/** What the form says about its file. */
export interface UploadFields {
  name: string;
  format: Schemas["DatasetFormat"] | null;
  text_column: string | null;
}

export interface Upload {
  key: number;
  file: File;
  fields: UploadFields;
  sent: number;
  total: number;
  /** In milliseconds since the epoch. */
  startedAt: number;
  /** Why it ended; null while it goes on. */
  error: ApiError | null;
}

interface Uploads {
  uploads: readonly Upload[];
}

export const useUploads = create<Uploads>(() => ({ uploads: [] }));

const cancels = new Map<number, AbortController>();
let last = 0;

/** Send a file; how far it has come is in the store, and its dataset too once it is there. */
export async function upload(file: File, fields: UploadFields): Promise<void> {
  last += 1;
  const key = last;
  const abort = new AbortController();
  cancels.set(key, abort);
  const begun: Upload = {
    key,
    file,
    fields,
    sent: 0,
    total: file.size,
    startedAt: Date.now(),
    error: null,
  };
  useUploads.setState(({ uploads }) => ({ uploads: [...uploads, begun] }));
  try {
    const dataset = await sendForm<Dataset>(
      "/api/datasets/upload",
      formOf(file, fields),
      (sent, total) => change(key, { sent, total }),
      abort.signal,
    );
    put("datasets", [dataset]);
    dismissUpload(key);
  } catch (thrown) {
    if (abort.signal.aborted) dismissUpload(key);
    else change(key, { error: asApiError(thrown) });
  } finally {
    cancels.delete(key);
  }
}

/** Stop sending a file. */
export function cancelUpload(key: number): void {
  cancels.get(key)?.abort();
}

/** Send a file again that could not be sent. */
export function retryUpload(key: number): void {
  const found = useUploads.getState().uploads.find((each) => each.key === key);
  dismissUpload(key);
  if (found) void upload(found.file, found.fields);
}

/** Show it no longer. */
export function dismissUpload(key: number): void {
  useUploads.setState(({ uploads }) => ({ uploads: uploads.filter((each) => each.key !== key) }));
}

// Whoever signs out leaves nothing behind that goes on in their name.
useSession.subscribe(({ status }) => {
  if (status !== "signed-out") return;
  for (const abort of cancels.values()) abort.abort();
  useUploads.setState({ uploads: [] });
});

function change(key: number, change: Partial<Upload>): void {
  useUploads.setState(({ uploads }) => ({
    uploads: uploads.map((each) => (each.key === key ? { ...each, ...change } : each)),
  }));
}

function formOf(file: File, { name, format, text_column }: UploadFields): FormData {
  const form = new FormData();
  form.append("name", name);
  if (format) form.append("format", format);
  if (text_column) form.append("text_column", text_column);
  form.append("file", file, file.name);
  return form;
}
