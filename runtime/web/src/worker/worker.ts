/** The worker: does what it is asked, one thing after the other. */

import type { Answer } from "../answer/result.ts";
import { asTraceNetError, toMessage, TraceNetError } from "../errors.ts";
import { LocalSegmenter } from "./localSegmenter.ts";
import type { LocalSession } from "./localSession.ts";
import type { Methods, Method, Moved, Request, Response } from "./protocol.ts";

let segmenter: LocalSegmenter | null = null;
let queue: Promise<void> = Promise.resolve();

self.onmessage = ({ data }: MessageEvent<Request>) => {
  queue = queue.then(() => answer(data));
};

async function answer(request: Request): Promise<void> {
  try {
    const result = await perform(request);
    post({ kind: "result", id: request.id, result });
  } catch (error) {
    const remedy = "use a smaller photo or close other tabs";
    post({ kind: "error", id: request.id, error: toMessage(asTraceNetError(error, remedy)) });
  }
}

async function perform(request: Request): Promise<Methods[Method]["result"]> {
  if (request.method === "load") {
    segmenter = await LocalSegmenter.load(request.arguments, (progress) =>
      post({ kind: "progress", progress }),
    );
    return segmenter.loaded;
  }
  if (segmenter === null) throw new TraceNetError("No bundle is loaded; load one first.");
  switch (request.method) {
    case "open":
      return segmenter.open(request.arguments);
    case "tap":
      return segmenter.tap(request.arguments);
    case "candidate": {
      const { session, gesture, level } = request.arguments;
      return segmenter.session(session).candidate(gesture, level);
    }
    case "make": {
      const { session, gesture, level } = request.arguments;
      return moved(segmenter, session, (made) => made.make(gesture, level));
    }
    case "startFrom": {
      const { session, mask } = request.arguments;
      return moved(segmenter, session, (made) => made.startFrom(mask));
    }
    case "move": {
      const { session, by } = request.arguments;
      return moved(segmenter, session, (made) => made.move(by));
    }
    case "clear":
      return moved(segmenter, request.arguments, (made) => {
        made.clear();
        return null;
      });
    case "close":
      segmenter.close(request.arguments);
      return null;
    case "checkGolden":
      await segmenter.checkGolden();
      return null;
  }
}

async function moved(
  from: LocalSegmenter,
  session: number,
  work: (session: LocalSession) => Promise<Answer> | Answer | null,
): Promise<Moved> {
  const made = from.session(session);
  const answer = await work(made);
  return { answer, ...made.history };
}

function post(response: Response): void {
  self.postMessage(response);
}
