/**
 * What can go wrong, as classes. Every message is a sentence or two for the person at the screen:
 * what is wrong, and what to do.
 */

/** Base of every error that the library throws on purpose. */
export class TraceNetError extends Error {
  override name = "TraceNetError";
}

/** The photo cannot be decoded, is too large, or has no pixels. */
export class PhotoError extends TraceNetError {
  override name = "PhotoError";
}

/** A frame of a clip does not exist, or is not of the clip's size. */
export class FrameError extends TraceNetError {
  override name = "FrameError";
}

/** A gesture cannot be used: it is off the photo, empty, or nothing is there that it changes. */
export class GestureError extends TraceNetError {
  override name = "GestureError";
}

/** The tap is not on a pixel of the photo. */
export class TapOutsidePhoto extends GestureError {
  override name = "TapOutsidePhoto";
}

/** The bundle is missing, damaged, altered, malformed, or of another schema version. */
export class BundleError extends TraceNetError {
  override name = "BundleError";
}

/** A file of the bundle cannot be fetched: there is no connection. */
export class BundleUnreachable extends BundleError {
  override name = "BundleUnreachable";
}

/** The error for a bundle whose parts do not fit together: `what` is wrong, as a clause. */
export function contradiction(what: string): BundleError {
  return new BundleError(`The bundle contradicts itself: ${what}; export it again.`);
}

/** The error for a network whose answers are no numbers. */
export function notFinite(): BundleError {
  return new BundleError(
    "The network answers with numbers that are not finite; export the bundle again, or with " +
      "another precision.",
  );
}

/** The browser cannot run the programs. */
export class EngineUnavailable extends TraceNetError {
  override name = "EngineUnavailable";
}

/** A level was named that the schedule does not ask. */
export class UnknownLevel extends TraceNetError {
  override name = "UnknownLevel";
}

/** The session on a photo, clip or stream was closed; open that again. */
export class SessionClosed extends TraceNetError {
  override name = "SessionClosed";
}

/** The browser refused memory. */
export class OutOfMemory extends TraceNetError {
  override name = "OutOfMemory";
}

/** By name, because a build shortens the names of classes. */
const CLASSES: Readonly<Record<string, typeof TraceNetError>> = {
  PhotoError,
  FrameError,
  GestureError,
  TapOutsidePhoto,
  BundleError,
  BundleUnreachable,
  EngineUnavailable,
  UnknownLevel,
  SessionClosed,
  OutOfMemory,
};

/** An error as it crosses from the worker to the page. */
export interface ErrorMessage {
  readonly name: string;
  readonly message: string;
}

/** What an error says, in a form that fits into a sentence. */
export function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return (text.trim().split("\n")[0] ?? "").replace(/[.;]+$/, "");
}

/** Any error as one of ours; failed allocations become an `OutOfMemory` with this remedy. */
export function asTraceNetError(error: unknown, remedy: string): TraceNetError {
  if (error instanceof TraceNetError) return error;
  if (isAllocationFailure(error)) {
    return new OutOfMemory(`The browser has not enough memory for this; ${remedy}.`);
  }
  return new TraceNetError(
    `Something went wrong in the runtime (${firstLine(error)}); load the page again.`,
  );
}

/** Whether an error says that memory was refused; engines say so in many ways. */
export function isAllocationFailure(error: unknown): boolean {
  const said = new RegExp(
    "out of memory|\\bOOM\\b|bad[_ ]alloc|allocation failed|not enough memory|smaller than requested" +
      "|(failed to|could not|cannot|can't|unable to) allocate(?! tensors)",
    "i",
  );
  return error instanceof RangeError || said.test(firstLine(error));
}

export function toMessage(error: TraceNetError): ErrorMessage {
  return { name: error.name, message: error.message };
}

/** The error that `toMessage` was given, of the same class. */
export function fromMessage({ name, message }: ErrorMessage): TraceNetError {
  return new (CLASSES[name] ?? TraceNetError)(message);
}
