/** Writes frames as a WebM, with transparency where they have any. */

import {
  BufferTarget,
  canEncodeVideo,
  Output,
  QUALITY_HIGH,
  VideoSample,
  VideoSampleSource,
  WebMOutputFormat,
} from "mediabunny";
import type { Size } from "../../src/index.ts";

/** The better first. */
const CODECS = ["vp9", "vp8"] as const;
export type Codec = (typeof CODECS)[number];

/** What the browser can encode frames of a size with, with or without transparency; null: none. */
export async function encodableCodec({ height, width }: Size): Promise<Codec | null> {
  if (typeof VideoEncoder === "undefined") return null;
  for (const codec of CODECS) {
    const options = { height, width, quality: QUALITY_HIGH, alpha: "keep" } as const;
    if (await canEncodeVideo(codec, options)) return codec;
  }
  return null;
}

/** A WebM that is being written, in memory. */
export class WebM {
  private readonly target = new BufferTarget();
  private readonly output = new Output({ format: new WebMOutputFormat(), target: this.target });
  private readonly source: VideoSampleSource;

  private constructor(codec: Codec, isTransparent: boolean) {
    this.source = new VideoSampleSource({
      codec,
      quality: QUALITY_HIGH,
      alpha: isTransparent ? "keep" : "discard",
    });
    this.output.addVideoTrack(this.source);
  }

  static async begin(codec: Codec, isTransparent: boolean): Promise<WebM> {
    const webm = new WebM(codec, isTransparent);
    await webm.output.start();
    return webm;
  }

  /** Add a frame, which is closed. @param time when it is shown, and for how long, in seconds */
  async add(frame: ImageBitmap, time: number, duration: number): Promise<void> {
    const sample = new VideoSample(frame, { timestamp: time, duration });
    try {
      await this.source.add(sample);
    } finally {
      sample.close();
      frame.close();
    }
  }

  async end(): Promise<Blob> {
    await this.output.finalize();
    return new Blob([this.target.buffer as ArrayBuffer], { type: "video/webm" });
  }

  /** Give it up. */
  async cancel(): Promise<void> {
    if (this.output.state !== "finalized") await this.output.cancel();
  }
}
