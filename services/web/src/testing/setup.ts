import "@testing-library/jest-dom/vitest";
import { cleanup, configure } from "@testing-library/react";
import { afterEach, vi } from "vitest";
import type { StoreApi } from "zustand";
import { useActivity } from "@/state/activity";
import { forgetAll } from "@/state/entities";
import { useSelection } from "@/state/selection";
import { useSession } from "@/state/session";
import { useToasts } from "@/state/toasts";
import { useUploads } from "@/state/uploads";

// On a busy machine a second is soon over.
configure({ asyncUtilTimeout: 120_000 });

function begin<T>(store: Pick<StoreApi<T>, "setState" | "getInitialState">): void {
  store.setState(store.getInitialState(), true);
}

// Files of a worker share one document and one of each store: a test leaves nothing to the next.
afterEach(() => {
  cleanup();
  forgetAll();
  begin(useActivity);
  begin(useSelection);
  begin(useSession);
  begin(useToasts);
  begin(useUploads);
  localStorage.clear();
  sessionStorage.clear();
});

// What jsdom lacks and Mantine asks for.
Object.defineProperty(window, "matchMedia", {
  value: (query: string) => ({
    // As in a browser: what asks for nothing is met.
    matches: query === "",
    media: query,
    onchange: null,
    addEventListener: vi.fn(),
    removeEventListener: vi.fn(),
    addListener: vi.fn(),
    removeListener: vi.fn(),
    dispatchEvent: vi.fn(),
  }),
});

class NoObserver {
  observe() {}
  unobserve() {}
  disconnect() {}
}
globalThis.ResizeObserver ??= NoObserver as unknown as typeof ResizeObserver;
globalThis.IntersectionObserver ??= NoObserver as unknown as typeof IntersectionObserver;
Element.prototype.scrollIntoView ??= () => {};
window.scrollTo = () => {};
Blob.prototype.arrayBuffer ??= function (this: Blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result as ArrayBuffer));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsArrayBuffer(this);
  });
};

// There is no canvas either: a chart is told by its label and by the table beside it.
vi.mock("@/ui/echarts", () => ({
  init: () => ({ setOption() {}, on() {}, resize() {}, dispose() {} }),
}));
