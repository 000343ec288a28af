import { HttpResponse, http } from "msw";
import { expect, test } from "vitest";
import { gateway } from "@/testing/gateway";
import { api } from "./client";

const server = gateway();

test("a change begins a trace of its own; what only reads begins none", async () => {
  const seen: (string | null)[] = [];
  const note = ({ request }: { request: Request }) => {
    seen.push(request.headers.get("traceparent"));
    return HttpResponse.json({});
  };
  server.use(http.post("*/api/models/m_a/load", note), http.get("*/api/models/m_a", note));
  const path = { params: { path: { model_id: "m_a" } } };
  await api.POST("/api/models/{model_id}/load", { ...path, body: {} });
  await api.POST("/api/models/{model_id}/load", { ...path, body: {} });
  await api.GET("/api/models/{model_id}", path);

  const [first, second, third] = seen;
  expect(first).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  expect(second).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  expect(second?.slice(3, 35)).not.toBe(first?.slice(3, 35));
  expect(third).toBeNull();
});
