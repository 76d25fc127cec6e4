/** The page's end of the line to its worker. */

import { EngineUnavailable, fromMessage, OutOfMemory } from "../errors.ts";
import type { LoadProgress, Method, Methods, Request, Response } from "./protocol.ts";

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

/** A worker, and the requests that it has not answered yet. */
export class Connection {
  private readonly worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  private readonly pending = new Map<number, Pending>();
  private requests = 0;
  private started = false;
  /** Why nothing can be asked any more. */
  private closed: { readonly reason: unknown } | null = null;

  constructor(onProgress: ((progress: LoadProgress) => void) | undefined) {
    this.worker.onmessage = ({ data }: MessageEvent<Response>) => {
      this.started = true;
      if (data.kind === "progress") {
        onProgress?.(data.progress);
        return;
      }
      const pending = this.pending.get(data.id);
      this.pending.delete(data.id);
      if (data.kind === "result") pending?.resolve(data.result);
      else pending?.reject(fromMessage(data.error));
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
  ): Promise<Methods[M]["result"]> {
    return new Promise((resolve, reject) => {
      if (this.closed !== null) {
        reject(this.closed.reason);
        return;
      }
      const id = this.requests++;
      this.worker.postMessage({ id, method, arguments: argument } as Request);
      this.pending.set(id, { resolve: resolve as Pending["resolve"], reject });
    });
  }

  /** End the worker; what is pending, and what is asked from now on, is rejected. */
  close(reason: unknown): void {
    this.closed ??= { reason };
    this.worker.terminate();
    for (const { reject } of this.pending.values()) reject(reason);
    this.pending.clear();
  }
}
