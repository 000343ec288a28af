import { screen } from "@testing-library/react";
import { expect, test } from "vitest";
import type { Schemas } from "@/api/types";
import { draw } from "@/testing/render";
import { estimate } from "../testing";
import { EstimateCard } from "./EstimateCard";

function show(change: Partial<Schemas["ExtractionEstimate"]>, stored = 0) {
  draw(
    <EstimateCard
      estimate={estimate(change)}
      busy={false}
      columns={9}
      stored={stored}
      missing={null}
    >
      {null}
    </EstimateCard>,
  );
}

test("what is to be written stands beside what the disk has left", () => {
  show({ estimated_bytes: 118e6, available_bytes: 100e9 }, 3);
  expect(screen.getByRole("progressbar")).toHaveAccessibleName("118 MB of 100 GB free on the disk");
  expect(screen.getByText("9, 3 stored")).toBeVisible();
});

test("a disk that has too little left says so", () => {
  show({ estimated_bytes: 118e6, available_bytes: 50e6 });
  expect(screen.getByText("More than the 50.0 MB that the disk has left.")).toBeVisible();
});

test("a bucket, whose room nobody knows, has no bar", () => {
  show({ available_bytes: null });
  expect(screen.queryByRole("progressbar")).not.toBeInTheDocument();
});

test("nothing is computed of what is stored already", () => {
  show({ cached: true, estimated_bytes: 0, estimated_time_seconds: 0 }, 9);
  expect(screen.getByRole("alert")).toHaveTextContent("All of it is stored already");
  expect(screen.getByText("none")).toBeVisible();
});

test("what is not known says why", () => {
  show({ estimated_time_seconds: null, unknown: "No extractor has answered." });
  expect(screen.getByText("No extractor has answered.")).toBeVisible();
});
