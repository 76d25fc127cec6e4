export {
  BundleError,
  EngineUnavailable,
  OutOfMemory,
  PhotoError,
  TapOutsidePhoto,
  TraceNetError,
} from "./errors.ts";
export { TapSegmenter } from "./segmenter.ts";
export type * from "./types.ts";
