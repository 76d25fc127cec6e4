/** What the worker is asked of clips. */

import type { Answer } from "../answer/result.ts";
import { readFrame } from "../image/photo.ts";
import type { LocalClips } from "./localClips.ts";
import type { LocalFrame } from "./openFrame.ts";
import type {
  ClipMethod,
  ClipMethods,
  FrameMoved,
  FrameThing,
  LoadProgress,
  Request,
} from "./protocol.ts";

/** Do it, and say what the page is told. */
export async function performOnClip(
  clips: LocalClips,
  request: Extract<Request, { readonly method: ClipMethod }>,
  tell: (progress: LoadProgress) => void,
  signal: AbortSignal,
): Promise<ClipMethods[ClipMethod]["result"]> {
  switch (request.method) {
    case "openVideo": {
      const { size, length } = request.arguments;
      return clips.openVideo(size, length, tell, signal);
    }
    case "openStream":
      return clips.openStream(tell, signal);
    case "makeInFrame": {
      const { gesture, level } = request.arguments;
      return movedInFrame(clips, request.arguments, (frame) => frame.make(gesture, level));
    }
    case "candidateInFrame": {
      const { clip, number, thing, gesture, level } = request.arguments;
      return clips.get(clip).thing(number, thing).candidate(gesture, level);
    }
    case "startFromInFrame": {
      const { mask } = request.arguments;
      return movedInFrame(clips, request.arguments, (frame) => frame.startFrom(mask));
    }
    case "moveInFrame": {
      const { by } = request.arguments;
      return movedInFrame(clips, request.arguments, (frame) => frame.move(by));
    }
    case "clearInFrame":
      return movedInFrame(clips, request.arguments, (frame) => {
        frame.clear();
        return null;
      });
    case "advance": {
      const video = clips.video(request.arguments);
      const answer = await video.advance();
      return answer === null ? null : { answer, nbytes: video.nbytes };
    }
    case "frameResult":
      return clips.video(request.arguments.clip).result(request.arguments.number);
    case "frameStates":
      return clips.video(request.arguments).states();
    case "push": {
      const pixels = readFrame(request.arguments.frame); // which closes the frame
      return clips.stream(request.arguments.clip).push(pixels);
    }
    case "closeClip":
      clips.close(request.arguments);
      return null;
  }
}

async function movedInFrame(
  clips: LocalClips,
  { clip, number, thing }: FrameThing,
  work: (frame: LocalFrame) => Promise<Answer | null> | null,
): Promise<FrameMoved> {
  const from = clips.get(clip);
  const frame = from.thing(number, thing);
  const answer = await work(frame);
  return { answer, ...frame.history, touched: from.touched, things: from.things };
}
