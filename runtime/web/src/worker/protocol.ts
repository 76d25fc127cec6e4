/** What the page and its worker tell each other. */

import type { Gesture } from "../answer/prompt.ts";
import type { Answer } from "../answer/result.ts";
import type { Precision } from "../bundle/records.ts";
import type { EngineReport } from "../engines/onnxruntime.ts";
import type { ErrorMessage } from "../errors.ts";
import type { FramePicture, Photo } from "../image/photo.ts";
import type { Point, Size } from "../rectangles.ts";
import type { FrameAnswer } from "../tracking/results.ts";

/** Which bundle to load, and how. */
export interface BundleRequest {
  /** An absolute URL that ends with a slash. */
  readonly base: string;
  readonly schedule: string | undefined;
  readonly canvas: Size | undefined;
  readonly threads: number | undefined;
  readonly verify: boolean;
}

export interface LoadProgress {
  readonly stage: "download" | "open" | "verify";
  /** Of the stage: bytes for "download", programs for "open", taps or clips for "verify". */
  readonly done: number;
  readonly total: number;
}

/** What taps may be answered with. */
export interface BundleInfo {
  readonly name: string;
  readonly licence: string;
  readonly precision: Precision;
  readonly identity: string;
  /** Size of all files that were fetched. */
  readonly bytes: number;
  readonly schedules: readonly {
    readonly name: string;
    readonly canvas: Size;
    readonly exact: boolean;
  }[];
  /** The name of the strategy that answers; null where that is one look. */
  readonly strategy: string | null;
  /** Whether a gesture after the first corrects; otherwise each tap begins a new thing. */
  readonly corrects: boolean;
  /** Whether things can be followed through clips. */
  readonly tracks: boolean;
}

/** What is known once a bundle is loaded. */
export interface Loaded {
  readonly bundle: BundleInfo;
  readonly engineReport: EngineReport;
  readonly levels: readonly string[];
}

/** What is known of a photo that was opened. */
export interface Opened {
  /** By which the worker knows the session. */
  readonly session: number;
  /** The photo's. */
  readonly size: Size;
  readonly nbytes: number;
  readonly timingsMs: Readonly<Record<string, number>>;
}

/** A session's answer, and what is known of it then. */
export interface Moved {
  /** Null where there is no thing. */
  readonly answer: Answer | null;
  /** Those that made the answer, oldest first. */
  readonly gestures: readonly Gesture[];
  readonly canUndo: boolean;
  readonly canRedo: boolean;
  readonly nbytes: number;
}

/** A frame's answer, and what is known of its clip then. */
export interface FrameMoved extends Moved {
  /** The numbers of the frames that the user touched, in the order of the clip. */
  readonly touched: readonly number[];
  /** How many things there are. */
  readonly things: number;
}

/** A frame that was carried to, and the size of what is kept then. */
export interface Advanced {
  readonly answer: FrameAnswer;
  readonly nbytes: number;
}

/** A thing in a frame of a clip; null as a number is the newest frame. */
export interface FrameThing {
  readonly clip: number;
  readonly number: number | null;
  readonly thing: number;
}

/** What the worker can be asked, and what it answers. */
export interface Methods extends ClipMethods {
  load: { arguments: BundleRequest; result: Loaded };
  open: { arguments: Photo; result: Opened };
  /** On a photo of which nothing is kept. */
  tap: {
    arguments: { readonly photo: Photo; readonly at: Point; readonly level: string | undefined };
    result: Answer;
  };
  make: {
    arguments: {
      readonly session: number;
      readonly gesture: Gesture;
      readonly level: string | undefined;
    };
    result: Moved;
  };
  candidate: {
    arguments: { readonly session: number; readonly gesture: Gesture; readonly level: string };
    result: Answer;
  };
  startFrom: {
    arguments: { readonly session: number; readonly mask: Uint8Array };
    result: Moved;
  };
  move: { arguments: { readonly session: number; readonly by: -1 | 1 }; result: Moved };
  clear: { arguments: number; result: Moved };
  close: { arguments: number; result: null };
  checkGolden: { arguments: null; result: null };
}

/** What it can be asked of clips. */
export interface ClipMethods {
  /** The result is by which the worker knows the clip, whose frames it asks for as it needs them. */
  openVideo: { arguments: { readonly size: Size; readonly length: number }; result: number };
  openStream: { arguments: null; result: number };
  makeInFrame: {
    arguments: FrameThing & { readonly gesture: Gesture; readonly level: string | undefined };
    result: FrameMoved;
  };
  candidateInFrame: {
    arguments: FrameThing & { readonly gesture: Gesture; readonly level: string };
    result: Answer;
  };
  startFromInFrame: {
    arguments: FrameThing & { readonly mask: Uint8Array };
    result: FrameMoved;
  };
  moveInFrame: { arguments: FrameThing & { readonly by: -1 | 1 }; result: FrameMoved };
  clearInFrame: { arguments: FrameThing; result: FrameMoved };
  /** Carry what was touched to one more frame; null if all is done. */
  advance: { arguments: number; result: Advanced | null };
  frameResult: {
    arguments: { readonly clip: number; readonly number: number };
    result: FrameAnswer | null;
  };
  /** What is known of each thing, one of FRAME_STATES for each frame. */
  frameStates: { arguments: number; result: readonly Uint8Array[] };
  push: {
    arguments: { readonly clip: number; readonly frame: FramePicture };
    result: FrameAnswer | null;
  };
  closeClip: { arguments: number; result: null };
}

export type Method = keyof Methods;
export type ClipMethod = keyof ClipMethods;

/** To the worker; requests are answered in their order. */
export type Request = {
  [M in Method]: {
    readonly id: number;
    readonly method: M;
    readonly arguments: Methods[M]["arguments"];
  };
}[Method];

/** To the worker: what it pulled, null where the clip could not give it. */
export interface Pulled {
  readonly pull: number;
  readonly frame: FramePicture | null;
}

/** To the worker: a request is not wanted any more. */
export interface Abort {
  readonly abort: number;
}

/** From the worker; it pulls a frame of a clip while it works on a request. */
export type Response =
  | { readonly kind: "progress"; readonly id: number; readonly progress: LoadProgress }
  | {
      readonly kind: "pull";
      readonly pull: number;
      readonly clip: number;
      readonly number: number;
    }
  | { readonly kind: "result"; readonly id: number; readonly result: Methods[Method]["result"] }
  | { readonly kind: "error"; readonly id: number; readonly error: ErrorMessage };
