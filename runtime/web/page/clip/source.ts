/** The frames of a clip: by number, in any order, upright and with square pixels. */

import {
  ALL_FORMATS,
  BlobSource,
  EncodedPacketSink,
  Input,
  Logging,
  LogLevel,
  VideoSampleSink,
} from "mediabunny";
import type { InputVideoTrack, VideoSample } from "mediabunny";
import type { FrameSource, Size } from "../../src/index.ts";
import { context2d } from "../dom.ts";
import { withoutEnding } from "../photo.ts";
import {
  frameAt,
  frameTimes,
  LONGEST_S,
  MOST_FRAMES,
  shownTimestamps,
  workingSize,
} from "./times.ts";

/** Frames that are kept take so many bytes at most, but there are always some. */
const KEPT_BYTES = 96e6;
const [FEWEST_KEPT, MOST_KEPT] = [8, 48];
/** The decoder passes over so many frames rather than begin anew. */
const AHEAD = 12;
/** A container's rounding of timestamps, in seconds; frames lie further apart. */
const SAME_TIME = 1e-4;
/** In decoding order a frame comes so many places from its own at most. */
const REORDERED = 32;

// What is wrong with a file is told in the page.
Logging.level = LogLevel.Silent;

export class ClipError extends Error {
  override readonly name = "ClipError";
}

/** What the decoder is at: frames come from it in their order. */
interface Reader {
  readonly samples: AsyncGenerator<VideoSample, void, unknown>;
  /** The number of its next frame. */
  next: number;
}

/** A clip that is open; frames are decoded when they are asked for, one after the other. */
export class Clip implements FrameSource {
  /** Decoded frames, the one that was used last at the end. */
  private readonly kept = new Map<number, ImageBitmap>();
  private readonly mostKept: number;
  private reader: Reader | null = null;
  private lastAsked = 0;
  private queue: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly input: Input,
    private readonly sink: VideoSampleSink,
    /** The file's name without its ending. */
    readonly name: string,
    /** That of frames as they are worked on. */
    readonly size: Size,
    /** That of the file, upright and with square pixels. */
    readonly fileSize: Size,
    /** When each frame is shown, in seconds from the first. */
    readonly times: readonly number[],
    /** Where the first frame lies in the file, in seconds. */
    private readonly start: number,
    /** Whether the file goes on after the last frame. */
    readonly isCut: boolean,
  ) {
    const bytes = 4 * size.height * size.width;
    this.mostKept = Math.min(Math.max(Math.floor(KEPT_BYTES / bytes), FEWEST_KEPT), MOST_KEPT);
  }

  /** @throws ClipError with the reason why the browser cannot show the clip */
  static async open(file: Blob, fileName: string): Promise<Clip> {
    if (typeof VideoDecoder === "undefined") {
      throw new ClipError(
        "This browser cannot open clips: it lacks WebCodecs, which need an address that begins " +
          "with https or localhost, and Chrome 111, Firefox 130, Safari 16.4, or a newer version.",
      );
    }
    const input = new Input({ source: new BlobSource(file), formats: ALL_FORMATS });
    try {
      return await Clip.read(input, fileName);
    } catch (error) {
      input.dispose();
      if (error instanceof ClipError) throw error;
      throw new ClipError(`${fileName} is damaged or no clip: open an MP4, WebM or MOV file.`);
    }
  }

  get length(): number {
    return this.times.length;
  }

  /** A frame of its own for each caller, who closes it. @throws ClipError for a damaged one */
  frame(number: number): Promise<ImageBitmap> {
    const done = this.queue.then(async () => createImageBitmap(await this.decoded(number)));
    this.queue = done.catch(() => undefined);
    return done;
  }

  /** Give back the memory of frames; they are decoded again when they are asked for. */
  free(): void {
    this.queue = this.queue.then(() => {
      for (const bitmap of this.kept.values()) bitmap.close();
      this.kept.clear();
    });
  }

  /** Once the frames that were asked for are there. */
  close(): void {
    this.free();
    this.queue = this.queue.then(async () => {
      await this.reader?.samples.return();
      this.input.dispose();
    });
  }

  private static async read(input: Input, fileName: string): Promise<Clip> {
    const track = await input.getPrimaryVideoTrack();
    if (track === null) throw new ClipError(`${fileName} has no pictures: open a clip with some.`);
    if (!(await track.canDecode())) {
      const codec = (await track.getCodec()) ?? "its format";
      throw new ClipError(
        `This browser cannot decode ${fileName} (${codec}): open it as H.264, VP9 or AV1.`,
      );
    }
    const shown = shownTimestamps(await timestampsOf(track));
    const times = frameTimes(shown);
    const [start] = shown;
    if (start === undefined) throw new ClipError(`${fileName} has no frames: it may be damaged.`);
    const fileSize = {
      height: await track.getDisplayHeight(),
      width: await track.getDisplayWidth(),
    };
    return new Clip(
      input,
      new VideoSampleSink(track),
      withoutEnding(fileName),
      workingSize(fileSize),
      fileSize,
      times,
      start,
      shown.length > times.length,
    );
  }

  /** A frame, which stays the clip's. */
  private async decoded(number: number): Promise<ImageBitmap> {
    const isBackward = number < this.lastAsked;
    this.lastAsked = number;
    if (!this.kept.has(number)) await this.decode(number, isBackward);
    const bitmap = this.kept.get(number) as ImageBitmap;
    this.kept.delete(number);
    this.kept.set(number, bitmap);
    return bitmap;
  }

  private async decode(number: number, isBackward: boolean): Promise<void> {
    const next = this.reader?.next ?? Infinity;
    if (number < next || number >= next + AHEAD) {
      // Who goes backward will ask for the frames before, which are decoded on the way.
      const first = isBackward ? Math.max(0, number - Math.floor(this.mostKept / 2)) : number;
      await this.reader?.samples.return();
      const from = this.start + (this.times[first] as number);
      this.reader = { samples: this.sink.samples(from - SAME_TIME), next: first };
    }
    while (!this.kept.has(number)) await this.readOne(number);
  }

  /** Decode the next frame, which stands for those that the decoder has left out before it. */
  private async readOne(wanted: number): Promise<void> {
    const reader = this.reader as Reader;
    let sample: VideoSample | void;
    try {
      sample = (await reader.samples.next()).value;
    } catch {
      sample = undefined;
    }
    if (!sample) {
      this.reader = null;
      throw new ClipError(`Frame ${wanted + 1} cannot be decoded: the file is damaged there.`);
    }
    const { height, width } = this.size;
    const canvas = new OffscreenCanvas(width, height);
    const context = context2d(canvas);
    context.imageSmoothingQuality = "high";
    sample.draw(context, 0, 0, width, height);
    const number = frameAt(this.times, sample.timestamp - this.start + SAME_TIME);
    sample.close();
    this.keep(reader.next <= wanted && wanted < number ? wanted : number, canvas);
    reader.next = Math.max(reader.next, number + 1);
  }

  private keep(number: number, canvas: OffscreenCanvas): void {
    this.kept.get(number)?.close();
    this.kept.set(number, canvas.transferToImageBitmap());
    for (const [oldest, bitmap] of this.kept) {
      if (this.kept.size <= this.mostKept) break;
      bitmap.close();
      this.kept.delete(oldest);
    }
  }
}

/** Those of all frames that may be worked on, and of some more, in decoding order. */
async function timestampsOf(track: InputVideoTrack): Promise<number[]> {
  const timestamps: number[] = [];
  let past = 0;
  const packets = new EncodedPacketSink(track).packets(undefined, undefined, {
    metadataOnly: true,
  });
  for await (const { timestamp } of packets) {
    timestamps.push(timestamp);
    if (timestamp > (timestamps[0] as number) + LONGEST_S) past++;
    if (past > REORDERED || timestamps.length > MOST_FRAMES + REORDERED) break;
  }
  return timestamps;
}
