/** The worker: does what it is asked, one thing after the other. */

import { asTraceNetError, toMessage, TraceNetError } from "../errors.ts";
import { LocalSegmenter } from "./localSegmenter.ts";
import type { Methods, Method, Request, Response } from "./protocol.ts";

let segmenter: LocalSegmenter | null = null;
let queue: Promise<void> = Promise.resolve();

self.onmessage = ({ data }: MessageEvent<Request>) => {
  queue = queue.then(() => answer(data));
};

async function answer(request: Request): Promise<void> {
  try {
    const result = await perform(request);
    const transfer =
      result !== null && "probability" in result ? [result.probability.probability.buffer] : [];
    post({ kind: "result", id: request.id, result }, transfer);
  } catch (error) {
    const remedy = "use a smaller photo or close other tabs";
    post({ kind: "error", id: request.id, error: toMessage(asTraceNetError(error, remedy)) }, []);
  }
}

async function perform(request: Request): Promise<Methods[Method]["result"]> {
  if (request.method === "load") {
    segmenter = await LocalSegmenter.load(request.arguments, (progress) =>
      post({ kind: "progress", progress }, []),
    );
    return segmenter.loaded;
  }
  if (segmenter === null) throw new TraceNetError("No bundle is loaded; load one first.");
  switch (request.method) {
    case "open":
      return segmenter.open(request.arguments);
    case "tap":
      return segmenter.tap(request.arguments);
    case "close":
      segmenter.close(request.arguments);
      return null;
    case "checkGolden":
      await segmenter.checkGolden();
      return null;
  }
}

function post(response: Response, transfer: Transferable[]): void {
  self.postMessage(response, { transfer });
}
