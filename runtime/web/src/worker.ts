/** The worker: does what it is asked, one thing after the other. */

import { asTraceNetError, toMessage, TraceNetError } from "./errors.ts";
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
    const transfer = result !== null && "map" in result ? [result.map.probability.buffer] : [];
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
    case "encode":
      return segmenter.encode(request.arguments);
    case "tap": {
      const { x, y, level } = request.arguments;
      return segmenter.tap(x, y, level);
    }
    case "checkGolden":
      await segmenter.checkGolden();
      return null;
    case "drop":
      segmenter.drop();
      return null;
  }
}

function post(response: Response, transfer: Transferable[]): void {
  self.postMessage(response, { transfer });
}
