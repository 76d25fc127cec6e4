/** Exports at the photo's full resolution, made in a worker so that the page stays responsive. */

import type { ExportReply, ExportRequest } from "./cutoutWorker.ts";

type Waiting = { resolve: (file: Blob) => void; reject: (error: Error) => void };

export class ExportRefused extends Error {
  override readonly name = "ExportRefused";
}

export class CutoutMaker {
  private worker: Worker | null = null;
  private readonly waiting = new Map<number, Waiting>();
  private count = 0;

  /** @throws ExportRefused when the browser has not the memory, or the worker cannot start */
  make(request: Omit<ExportRequest, "id">): Promise<Blob> {
    this.worker ??= this.start();
    const id = this.count++;
    this.worker.postMessage({ ...request, id } satisfies ExportRequest);
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
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

  private start(): Worker {
    const worker = new Worker(new URL("./cutoutWorker.ts", import.meta.url), { type: "module" });
    worker.onmessage = (event: MessageEvent<ExportReply>) => {
      const reply = event.data;
      const waiting = this.waiting.get(reply.id);
      this.waiting.delete(reply.id);
      if ("file" in reply) waiting?.resolve(reply.file);
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
    "The photo could not be exported, most likely for want of memory: close other tabs, or open " +
      `a smaller copy of the photo. (${cause || "no cause given"})`,
  );
}
