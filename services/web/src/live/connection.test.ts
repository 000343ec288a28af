import { waitFor } from "@testing-library/react";
import { HttpResponse, http, ws } from "msw";
import { afterEach, expect, test } from "vitest";
import type { Cache } from "@/api/types";
import { useEntities } from "@/state/entities";
import { gateway } from "@/testing/gateway";
import { cache } from "@/testing/rows";
import { LiveConnection } from "./connection";

const server = gateway();
const socket = ws.link("ws://*/ws");
let connection: LiveConnection | undefined;
afterEach(() => connection?.close());

/** Answer each subscription with the next of these, and what follows it; return what was asked. */
function answers(...each: { id: number; data?: object; frames?: object[] }[]): unknown[] {
  const asked: unknown[] = [];
  server.use(
    socket.addEventListener("connection", ({ client }) => {
      client.addEventListener("message", ({ data }) => {
        asked.push(JSON.parse(String(data)).subscribe);
        const { id, data: told = {}, frames = [] } = each[asked.length - 1] ?? { id: 0 };
        client.send(JSON.stringify({ id, type: "subscribed", data: told }));
        for (const frame of frames) client.send(JSON.stringify(frame));
      });
    }),
  );
  return asked;
}

function rows(...activations: Cache[]): void {
  const nothing = { total: 0, models: [], datasets: [], extractions: [], devices: [] };
  server.use(
    http.get("*/api/activations", () => HttpResponse.json({ activations, total: 2 })),
    http.get("*/api/:kind", () => HttpResponse.json(nothing)),
  );
}

function evicted(id: number, cache_id: string) {
  const data = { timestamp: "2026-01-01T00:00:00Z", cache_id, freed_bytes: 1 };
  return { id, type: "cache:evicted", data };
}

test("events of a stream that was made anew are news, though their ids begin below", async () => {
  rows(cache(), cache({ id: "act_2" }));
  const asked = answers({ id: 100 }, { id: 2, data: { gap: true }, frames: [evicted(3, "act_1")] });
  connection = new LiveConnection("a.b.c");
  await waitFor(() => expect(useEntities.getState().fetched.caches.status).toBe("yes"));
  expect(useEntities.getState().caches).toHaveProperty("act_1");

  window.dispatchEvent(new Event("online"));
  await waitFor(() => expect(Object.keys(useEntities.getState().caches)).toEqual(["act_2"]));
  expect(asked).toEqual([{ last: 200 }, { after: 100 }]);
});

test("events of before the rows were read change nothing", async () => {
  rows(cache(), cache({ id: "act_2" }));
  answers({ id: 100, frames: [evicted(100, "act_1"), evicted(101, "act_2")] });
  connection = new LiveConnection("a.b.c");
  await waitFor(() => expect(useEntities.getState().fetched.caches.status).toBe("yes"));
  await waitFor(() => expect(Object.keys(useEntities.getState().caches)).toEqual(["act_1"]));
});
