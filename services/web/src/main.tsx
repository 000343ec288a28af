import "@mantine/core/styles.css";
import "@fontsource-variable/inter/wght.css";
import "@fontsource-variable/jetbrains-mono/wght.css";
import "./app/app.css";
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app/App";
import { Toasts } from "./app/Toasts";
import { theme } from "./app/theme";
import { followSession } from "./live/following";
import { resume } from "./state/session";

const MINUTE = 60_000;

// The document's own times: a list is good for 5 minutes, a detail for 2.
const queries = new QueryClient({
  defaultOptions: { queries: { staleTime: 2 * MINUTE, gcTime: 5 * MINUTE, retry: 1 } },
});

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <MantineProvider theme={theme} defaultColorScheme="auto">
        <QueryClientProvider client={queries}>
          <App />
          <Toasts />
        </QueryClientProvider>
      </MantineProvider>
    </StrictMode>,
  );
  followSession();
  void resume();
}
