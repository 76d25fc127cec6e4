/** The worker: does what it is asked, one thing after the other. */

import type { Answer } from "../answer/result.ts";
import { asTraceNetError, FrameError, toMessage, TraceNetError } from "../errors.ts";
import { readFrame, type FramePicture } from "../image/photo.ts";
import type { Pixels } from "../image/pixels.ts";
import { performOnClip } from "./clipRequests.ts";
import { LocalSegmenter } from "./localSegmenter.ts";
import type { LocalSession } from "./localSession.ts";
import type {
  Abort,
  LoadProgress,
  Method,
  Methods,
  Moved,
  Pulled,
  Request,
  Response,
} from "./protocol.ts";

let segmenter: LocalSegmenter | null = null;
let queue: Promise<void> = Promise.resolve();
/** Of requests that are not answered yet. */
const aborts = new Map<number, AbortController>();
/** Who waits for frames that the page is to give. */
const pulls = new Map<number, (frame: FramePicture | null) => void>();
let pulled = 0;

self.onmessage = ({ data }: MessageEvent<Request | Pulled | Abort>) => {
  if ("pull" in data) {
    pulls.get(data.pull)!(data.frame);
    pulls.delete(data.pull);
  } else if ("abort" in data) {
    aborts.get(data.abort)?.abort();
  } else {
    aborts.set(data.id, new AbortController());
    queue = queue.then(() => answer(data));
  }
};

async function answer(request: Request): Promise<void> {
  const { id } = request;
  try {
    const { signal } = aborts.get(id)!;
    signal.throwIfAborted();
    const tell = (progress: LoadProgress) => post({ kind: "progress", id, progress });
    post({ kind: "result", id, result: await perform(request, tell, signal) });
  } catch (error) {
    const remedy = "use a smaller photo or close other tabs";
    post({ kind: "error", id, error: toMessage(asTraceNetError(error, remedy)) });
  } finally {
    aborts.delete(id);
  }
}

/** A frame of a clip, from the page. */
async function pull(clip: number, number: number): Promise<Pixels> {
  const name = pulled++;
  const given = new Promise<FramePicture | null>((resolve) => pulls.set(name, resolve));
  post({ kind: "pull", pull: name, clip, number });
  const frame = await given;
  if (frame === null) throw new FrameError(`The clip does not give its frame ${number}.`);
  return readFrame(frame);
}

async function perform(
  request: Request,
  tell: (progress: LoadProgress) => void,
  signal: AbortSignal,
): Promise<Methods[Method]["result"]> {
  if (request.method === "load") {
    segmenter = await LocalSegmenter.load(request.arguments, tell, pull);
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
    default:
      return performOnClip(segmenter.clips, request, tell, signal);
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
