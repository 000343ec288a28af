import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const gateway = process.env.MISTUDIO_URL ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react()],
  resolve: { alias: { "@": fileURLToPath(new URL("src", import.meta.url)) } },
  server: {
    proxy: {
      "/api": gateway,
      "/health": gateway,
      "/ws": { target: gateway, ws: true },
    },
  },
  build: {
    target: "es2022",
    // As new as the script: older ones would have light-dark() rewritten, which then has no colour.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    sourcemap: false,
    // A font in the style sheet would be loaded by everybody, and refused by the gateway's policy.
    assetsInlineLimit: (path) => (path.endsWith(".woff2") ? false : undefined),
    rolldownOptions: {
      output: {
        // What every page needs is one file: a browser asks for many no faster than for one.
        codeSplitting: { groups: [{ name: "first", test: /\/src\/main\.tsx$/ }] },
      },
    },
  },
  test: {
    environment: "jsdom",
    setupFiles: ["src/testing/setup.ts"],
    css: false,
    testTimeout: 600_000,
    // One document for all files of a worker: making it anew takes longer than the tests.
    isolate: false,
  },
});
