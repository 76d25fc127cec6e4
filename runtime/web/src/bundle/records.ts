/** manifest.json as read-only objects; docs/bundle.md explains every field. */

import type { Meaning } from "../answer/levels.ts";
import type { Program } from "../graph/program.ts";
import type { Schedule } from "../graph/schedule.ts";
import type { PadValue } from "../image/canvas.ts";
import type { StrategyRule } from "../strategies/rules.ts";
import type { Tracking } from "../tracking/records.ts";

export const SCHEMA_VERSION = 7;
export const MANIFEST_NAME = "manifest.json";

/** Beside the models: weights that only the programs of `tracking` use. */
export const TRACKING_WEIGHTS = "tracking.bin";

export type Precision = "fp32" | "fp16" | "int8";

/** What a file of the bundle must be: its SHA-256 in hexadecimal and its size in bytes. */
export interface FileRecord {
  readonly sha256: string;
  readonly bytes: number;
}

/** The parsed manifest; paths are relative to the bundle, with forward slashes. */
export interface Manifest {
  readonly identity: string;
  readonly name: string;
  readonly licence: string;
  readonly precision: Precision;
  readonly padValue: PadValue;
  readonly canvasMultiple: number;
  readonly programs: ReadonlyMap<string, Program>;
  readonly schedules: readonly Schedule[];
  readonly meaning: Meaning;
  readonly strategy: StrategyRule;
  /** Null for a network that does not carry masks through clips. */
  readonly tracking: Tracking | null;
  readonly tableFile: string;
  readonly tableCount: number;
  readonly goldenFile: string;
  readonly goldenPhoto: string;
  readonly files: ReadonlyMap<string, FileRecord>;
}
