/** A tap in, a mask out: the whole of the library behind one class, whose work is a worker's. */

import { tapResult, type TapResult } from "./answer/result.ts";
import type { EngineReport } from "./engines/onnxruntime.ts";
import { TraceNetError } from "./errors.ts";
import type { Photo } from "./image/photo.ts";
import type { Size } from "./rectangles.ts";
import { PhotoSession, type TapOptions } from "./session.ts";
import { Connection } from "./worker/connection.ts";
import type { BundleInfo, Loaded, LoadProgress } from "./worker/protocol.ts";
import { StreamSession, VideoSession, type FrameSource, type VideoOptions } from "./video.ts";

export interface LoadOptions {
  /** A schedule's name, for one look by it, or the name of the bundle's strategy, the default. */
  schedule?: string;
  /** A canvas that a schedule serves; without it each photo gets the one that suits it. */
  canvas?: Size;
  /** Threads of WebAssembly; 1 unless the page is cross-origin isolated. More than cores warn. */
  threads?: number;
  /** Whether to replay the first golden tap of all that may answer; true by default. */
  verify?: boolean;
  onProgress?: (progress: LoadProgress) => void;
  signal?: AbortSignal;
}

/** Answers taps with one bundle, in a worker of its own; calls are answered in their order. */
export class TapSegmenter {
  readonly bundle: BundleInfo;
  readonly engineReport: EngineReport;
  /** Levels of the network, finest first. */
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
    const connection = new Connection();
    const abort = () => connection.close(signal?.reason);
    signal?.addEventListener("abort", abort);
    try {
      const request = { base: folderUrl(url), schedule, canvas, threads, verify };
      const loaded = await connection.ask("load", request, { onProgress });
      return new TapSegmenter(connection, loaded);
    } catch (error) {
      connection.close(error);
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * Open a photo for many taps: run once what they share, of the strategy that `tap` takes.
   *
   * Several photos may be open; each is the caller's to close. An image bitmap is copied. Rejects
   * with a `PhotoError` when the photo cannot be decoded, is too large or has no pixels.
   */
  async open(photo: Photo): Promise<PhotoSession> {
    const opened = await this.connection.ask("open", photo);
    return new PhotoSession(this.connection, opened, this.bundle.corrects);
  }

  /**
   * The thing at a pixel of a photo, of which nothing is kept: x is the column, (0, 0) top left.
   *
   * Rejects as `open` and `PhotoSession.tap` do.
   */
  async tap(photo: Photo, x: number, y: number, { level }: TapOptions = {}): Promise<TapResult> {
    return tapResult(await this.connection.ask("tap", { photo, at: { x, y }, level }));
  }

  /**
   * Open a clip, for gestures on any of its frames and masks in all others.
   *
   * With the first clip or stream what only they need is fetched, checked and opened. Several may be
   * open; each is the caller's to close. Rejects with a `BundleError` where the bundle does not
   * track (`bundle.tracks`), or not as its golden clip, with `FrameError` for a clip without
   * frames, and with the signal's reason when that aborts.
   */
  async openVideo(frames: FrameSource, options: VideoOptions = {}): Promise<VideoSession> {
    const { size, length } = frames;
    const request = { size: { height: size.height, width: size.width }, length };
    const clip = await this.connection.ask("openVideo", request, options);
    return new VideoSession(this.connection, clip, frames);
  }

  /** Open a stream of frames, as `openVideo` does a clip; of what passed nothing is kept. */
  async openStream(options: VideoOptions = {}): Promise<StreamSession> {
    return new StreamSession(
      this.connection,
      await this.connection.ask("openStream", null, options),
    );
  }

  /** Replay all golden taps; rejects with a `BundleError` for the first that differs. */
  async checkGolden(): Promise<void> {
    await this.connection.ask("checkGolden", null);
  }

  /** Free everything, open sessions, too; the segmenter is of no use afterwards. */
  close(): void {
    this.connection.close(new TraceNetError("The segmenter was closed; load it again."));
  }
}

/** The absolute URL of a folder. */
function folderUrl(url: string | URL): string {
  const { href } = new URL(url, document.baseURI);
  return href.endsWith("/") ? href : `${href}/`;
}
