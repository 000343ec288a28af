/** The contract's shapes under short names; all of them are generated. */
import type { ServerFrame } from "./generated/frames";
import type { components } from "./generated/openapi";

export type Schemas = components["schemas"];

export type Model = Schemas["Model"];
export type ModelSummary = Schemas["ModelSummary"];
export type ModelStatus = Schemas["ModelStatus"];
export type Quantization = Schemas["Quantization"];
export type Dataset = Schemas["Dataset"];
export type DatasetStatus = Schemas["DatasetStatus"];
export type Extraction = Schemas["Extraction"];
export type ExtractionStatus = Schemas["ExtractionStatus"];
export type Cache = Schemas["Cache"];
export type CacheStatus = Schemas["CacheStatus"];
export type Device = Schemas["Device"];
export type ErrorBody = Schemas["ErrorBody"];
export type Scope = Schemas["Scope"];
export type WhoAmI = Schemas["WhoAmI"];

export type Frame = ServerFrame;
export type FrameType = Frame["type"];
export type FrameOf<T extends FrameType> = Extract<Frame, { type: T }>;
/** What a loading model tells on its way. */
export type LoadProgress = Extract<FrameOf<"model:loading">["data"], { stage: unknown }>;
