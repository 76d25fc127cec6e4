/** Exports at full resolution, made in a worker so that the page stays responsive. */

import type {
  ExportReply,
  ExportRequest,
  FrameRequest,
  MaskRequest,
  PhotoRequest,
} from "./cutoutWorker.ts";

type Made = Blob | ImageBitmap;
type Waiting = { resolve: (made: Made) => void; reject: (error: Error) => void };

export class ExportRefused extends Error {
  override readonly name = "ExportRefused";
}

export class CutoutMaker {
  private worker: Worker | null = null;
  private readonly waiting = new Map<number, Waiting>();
  private count = 0;

  /**
   * The file of a photo's cut-out.
   *
   * All reject with `ExportRefused` when the browser has not the memory, or the worker cannot start.
   */
  photo(request: Omit<PhotoRequest, "kind">): Promise<Blob> {
    return this.make({ kind: "photo", ...request }) as Promise<Blob>;
  }

  /** A frame's things on their background; the frame is the maker's from now on. */
  frame(request: Omit<FrameRequest, "kind">): Promise<ImageBitmap> {
    const made = this.make({ kind: "frame", ...request }, [request.frame]);
    return made as Promise<ImageBitmap>;
  }

  /** A mask as a PNG: white inside, black outside. */
  mask(request: Omit<MaskRequest, "kind">): Promise<Blob> {
    return this.make({ kind: "mask", ...request }) as Promise<Blob>;
  }

  /** End the worker, and with it what it holds; the next export starts another. */
  free(): void {
    this.worker?.terminate();
    this.worker = null;
    for (const { reject } of this.waiting.values()) {
      reject(new ExportRefused("The export was stopped to free memory."));
    }
    this.waiting.clear();
  }

  private make(request: ExportRequest, transferred: Transferable[] = []): Promise<Made> {
    this.worker ??= this.start();
    const id = this.count++;
    this.worker.postMessage({ ...request, id }, transferred);
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  private start(): Worker {
    const worker = new Worker(new URL("./cutoutWorker.ts", import.meta.url), { type: "module" });
    worker.onmessage = (event: MessageEvent<ExportReply>) => {
      const reply = event.data;
      const waiting = this.waiting.get(reply.id);
      this.waiting.delete(reply.id);
      if ("made" in reply) waiting?.resolve(reply.made);
      else waiting?.reject(refused(reply.error));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      const error = refused(event.message);
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
      this.worker = null;
    };
    return worker;
  }
}

function refused(cause: string): ExportRefused {
  return new ExportRefused(
    "The export failed, most likely for want of memory: close other tabs, or open a smaller " +
      `copy. (${cause || "no cause given"})`,
  );
}
