/** What the page and its worker tell each other. */

import type { Answer } from "./answer.ts";
import type { ErrorMessage } from "./errors.ts";
import type {
  BundleInfo,
  EncodedPhoto,
  EngineReport,
  LoadProgress,
  Photo,
  Size,
} from "./types.ts";

/** Which bundle to load, and how. */
export interface BundleRequest {
  /** An absolute URL that ends with a slash. */
  readonly base: string;
  readonly schedule: string | undefined;
  readonly canvas: Size | undefined;
  readonly threads: number | undefined;
  readonly verify: boolean;
}

/** What is known once a bundle is loaded. */
export interface Loaded {
  readonly bundle: BundleInfo;
  readonly engineReport: EngineReport;
  readonly levels: readonly string[];
}

/** What the worker can be asked, and what it answers. */
export interface Methods {
  load: { arguments: BundleRequest; result: Loaded };
  encode: { arguments: Photo; result: EncodedPhoto };
  tap: {
    arguments: { readonly x: number; readonly y: number; readonly level: string | undefined };
    result: Answer;
  };
  checkGolden: { arguments: null; result: null };
  drop: { arguments: null; result: null };
}

export type Method = keyof Methods;

/** To the worker; requests are answered in their order. */
export type Request = {
  [M in Method]: {
    readonly id: number;
    readonly method: M;
    readonly arguments: Methods[M]["arguments"];
  };
}[Method];

/** From the worker. */
export type Response =
  | { readonly kind: "progress"; readonly progress: LoadProgress }
  | { readonly kind: "result"; readonly id: number; readonly result: Methods[Method]["result"] }
  | { readonly kind: "error"; readonly id: number; readonly error: ErrorMessage };
