/** Which model is looked at; kept for as long as the browser's tab. */
import { create } from "zustand";
import { createJSONStorage, persist } from "zustand/middleware";

interface Selection {
  modelId: string | null;
  select: (modelId: string | null) => void;
}

export const useSelection = create<Selection>()(
  persist((set) => ({ modelId: null, select: (modelId) => set({ modelId }) }), {
    name: "mistudio.selection",
    storage: createJSONStorage(() => sessionStorage),
  }),
);
