/** The page's end of the line to its worker. */

import { EngineUnavailable, fromMessage, OutOfMemory } from "../errors.ts";
import type { FramePicture } from "../image/photo.ts";
import type { Abort, LoadProgress, Method, Methods, Pulled, Request, Response } from "./protocol.ts";

/** How a request is made. */
export interface AskOptions {
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** Rejects the request with its reason; the worker is told. */
  readonly signal?: AbortSignal | undefined;
  /** What goes over to the worker and is not the page's any more. */
  readonly transfer?: Transferable[];
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (reason: unknown) => void;
  readonly onProgress: AskOptions["onProgress"];
}

/** A worker, and the requests that it has not answered yet. */
export class Connection {
  private readonly worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  private readonly pending = new Map<number, Pending>();
  private requests = 0;
  private started = false;
  /** Why nothing can be asked any more. */
  private closed: { readonly reason: unknown } | null = null;
  /** What gives the frames of clips that are open. */
  private readonly clips = new Map<number, (number: number) => Promise<FramePicture>>();
  /** Why the last frame that was pulled could not be given, until the request is refused. */
  private failure: { readonly reason: unknown } | null = null;

  constructor() {
    this.worker.onmessage = ({ data }: MessageEvent<Response>) => {
      this.started = true;
      if (data.kind === "pull") {
        void this.give(data.pull, data.clip, data.number);
        return;
      }
      const pending = this.pending.get(data.id);
      if (data.kind === "progress") {
        pending?.onProgress?.(data.progress);
        return;
      }
      this.pending.delete(data.id);
      if (data.kind === "result") pending?.resolve(data.result);
      else pending?.reject(this.failure === null ? fromMessage(data.error) : this.failure.reason);
      this.failure = null;
    };
    // Errors of requests come as messages. What comes here ends the worker: its script is missing,
    // or memory was refused where nothing could be caught.
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.close(
        this.started
          ? new OutOfMemory("The browser stopped the runtime; load again, with a smaller photo.")
          : new EngineUnavailable("The runtime could not be started; load the page again."),
      );
    };
  }

  ask<M extends Method>(
    method: M,
    argument: Methods[M]["arguments"],
    { onProgress, signal, transfer = [] }: AskOptions = {},
  ): Promise<Methods[M]["result"]> {
    return new Promise<Methods[M]["result"]>((resolve, reject) => {
      signal?.throwIfAborted();
      if (this.closed !== null) throw this.closed.reason;
      const id = this.requests++;
      const abort = () => {
        this.worker.postMessage({ abort: id } satisfies Abort);
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", abort);
      const settle = <T>(answer: (value: T) => void) => (value: T) => {
        signal?.removeEventListener("abort", abort);
        answer(value);
      };
      this.pending.set(id, {
        resolve: settle(resolve as Pending["resolve"]),
        reject: settle(reject),
        onProgress,
      });
      this.worker.postMessage({ id, method, arguments: argument } as Request, transfer);
    });
  }

  /** What gives the frames of a clip, until `dropFrames`. */
  giveFrames(clip: number, frame: (number: number) => Promise<FramePicture>): void {
    this.clips.set(clip, frame);
  }

  dropFrames(clip: number): void {
    this.clips.delete(clip);
  }

  /** End the worker; what is pending, and what is asked from now on, is rejected. */
  close(reason: unknown): void {
    this.closed ??= { reason };
    this.worker.terminate();
    for (const { reject } of this.pending.values()) reject(reason);
    this.pending.clear();
    this.clips.clear();
  }

  private async give(pull: number, clip: number, number: number): Promise<void> {
    try {
      const frame = (await this.clips.get(clip)?.(number)) ?? null;
      if (this.closed !== null) {
        if (frame !== null && "close" in frame) frame.close();
        return;
      }
      this.worker.postMessage({ pull, frame } satisfies Pulled, transferred(frame));
    } catch (reason) {
      this.failure = { reason };
      this.worker.postMessage({ pull, frame: null } satisfies Pulled);
    }
  }
}

/** What of a frame goes over to the worker; of pixels a copy does. */
export function transferred(frame: FramePicture | null): Transferable[] {
  return frame !== null && "close" in frame ? [frame] : [];
}
