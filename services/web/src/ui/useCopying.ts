import copyText from "copy-to-clipboard";
import { useCallback, useEffect, useState } from "react";

const TOLD_MS = 1500;

interface Copying {
  /** Whether it has just been copied. */
  copied: boolean;
  copy: () => void;
}

/**
 * Copy a text on demand, and tell for a moment that it is copied.
 *
 * Browsers keep their clipboard from pages that came by plain http, as from another machine of the
 * laboratory: there the text is selected and copied as a person would, or shown to be copied.
 */
export function useCopying(text: string): Copying {
  const [copiedAt, setCopiedAt] = useState<number | null>(null);
  const copy = useCallback(() => {
    void copyText(text, { fallbackToPrompt: true }).then((done) =>
      setCopiedAt(done ? Date.now() : null),
    );
  }, [text]);
  useEffect(() => {
    if (copiedAt === null) return;
    const told = window.setTimeout(() => setCopiedAt(null), TOLD_MS);
    return () => window.clearTimeout(told);
  }, [copiedAt]);
  return { copied: copiedAt !== null, copy };
}
