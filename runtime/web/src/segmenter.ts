/** A tap in, a mask out: the whole of the library behind one class, whose work is a worker's. */

import { EngineUnavailable, fromMessage, OutOfMemory, TraceNetError } from "./errors.ts";
import type { Loaded, Method, Methods, Request, Response } from "./protocol.ts";
import { tapResult } from "./tapResult.ts";
import type {
  BundleInfo,
  EncodedPhoto,
  EngineReport,
  LoadOptions,
  LoadProgress,
  Photo,
  Segmenter,
  TapOptions,
  TapResult,
} from "./types.ts";

/** Answers taps with one bundle, in a worker of its own; calls are answered in their order. */
export class TapSegmenter implements Segmenter {
  readonly bundle: BundleInfo;
  readonly engineReport: EngineReport;
  readonly levels: readonly string[];

  private constructor(
    private readonly connection: Connection,
    { bundle, engineReport, levels }: Loaded,
  ) {
    this.bundle = bundle;
    this.engineReport = engineReport;
    this.levels = levels;
  }

  /**
   * Load the bundle at a URL, which may be relative to the page.
   *
   * Only what is needed is fetched, and all of it is checked. Rejects with a `BundleError` when the
   * bundle is missing, damaged, malformed, has no such schedule, serves no such canvas or does not
   * give the golden answers, with `EngineUnavailable` when the browser cannot run it, with
   * `OutOfMemory`, and with the signal's reason when that aborts.
   */
  static async load(url: string | URL, options: LoadOptions = {}): Promise<TapSegmenter> {
    const { schedule, canvas, threads, verify = true, onProgress, signal } = options;
    signal?.throwIfAborted();
    const connection = new Connection(onProgress);
    const abort = () => connection.close(signal?.reason);
    signal?.addEventListener("abort", abort);
    try {
      const loaded = await connection.ask("load", {
        base: folderUrl(url),
        schedule,
        canvas,
        threads,
        verify,
      });
      return new TapSegmenter(connection, loaded);
    } catch (error) {
      connection.close(error);
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  encode(photo: Photo): Promise<EncodedPhoto> {
    return this.connection.ask("encode", photo);
  }

  async tap(x: number, y: number, { level }: TapOptions = {}): Promise<TapResult> {
    return tapResult(await this.connection.ask("tap", { x, y, level }));
  }

  async checkGolden(): Promise<void> {
    await this.connection.ask("checkGolden", null);
  }

  async drop(): Promise<void> {
    await this.connection.ask("drop", null);
  }

  close(): void {
    this.connection.close(new TraceNetError("The segmenter was closed; load it again."));
  }
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

/** A worker, and the requests that it has not answered yet. */
class Connection {
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

/** The absolute URL of a folder. */
function folderUrl(url: string | URL): string {
  const { href } = new URL(url, document.baseURI);
  return href.endsWith("/") ? href : `${href}/`;
}
