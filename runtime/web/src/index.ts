export type { Bounds, Gesture, Scribble, Tap } from "./answer/prompt.ts";
export type { Candidate, ComputedRegion, Probability, TapResult } from "./answer/result.ts";
export type { EngineReport } from "./engines/onnxruntime.ts";
export {
  BundleError,
  BundleUnreachable,
  EngineUnavailable,
  FrameError,
  GestureError,
  OutOfMemory,
  PhotoError,
  SessionClosed,
  TapOutsidePhoto,
  TraceNetError,
  UnknownLevel,
} from "./errors.ts";
export { FrameSession } from "./frameSession.ts";
export type { Placement } from "./image/geometry.ts";
export type { ProbabilityMap } from "./image/mask.ts";
export type { FramePicture, Photo } from "./image/photo.ts";
export type { Box, Point, Size } from "./rectangles.ts";
export { TapSegmenter, type LoadOptions } from "./segmenter.ts";
export { PhotoSession, type ScribbleOptions, type TapOptions } from "./session.ts";
export { FRAME_STATES } from "./tracking/known.ts";
export type { FrameResult, ThingResult } from "./tracking/results.ts";
export { StreamSession, VideoSession, type FrameSource, type VideoOptions } from "./video.ts";
export type { BundleInfo, LoadProgress } from "./worker/protocol.ts";
