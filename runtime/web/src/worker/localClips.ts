/** Clips that are open in the worker, and the programs that they share. */

import type { Viewer } from "../answer/look.ts";
import { fetchTracking, type Bundle } from "../bundle/files.ts";
import { checkGoldenClip } from "../bundle/goldenClip.ts";
import { OnnxRuntimeEngine } from "../engines/onnxruntime.ts";
import { BundleError, FrameError, SessionClosed } from "../errors.ts";
import { readPhoto } from "../image/photo.ts";
import type { Pixels } from "../image/pixels.ts";
import type { Size } from "../rectangles.ts";
import { TrackPrograms, type Features } from "../tracking/programs.ts";
import type { Tracking } from "../tracking/records.ts";
import { checkFrame, LocalStream } from "./localStream.ts";
import { LocalVideo, type OpenView } from "./localVideo.ts";
import type { LoadProgress } from "./protocol.ts";

/** Gets a frame of a clip from the page. */
export type Pull = (clip: number, number: number) => Promise<Pixels>;

/** How clips' programs are opened. */
export interface ClipOptions {
  readonly threads: number | undefined;
  /** Whether to replay the golden clip. */
  readonly verify: boolean;
}

type Tell = (stage: LoadProgress["stage"]) => (done: number, total: number) => void;

/** Clips by number; what only they need is fetched and opened with the first. */
export class LocalClips {
  private readonly clips = new Map<number, LocalVideo<Features> | LocalStream<Features>>();
  private opened = 0;
  private network: TrackPrograms | null = null;
  /** Programs that are open, but not checked: they wait for the next try. */
  private unchecked: TrackPrograms | null = null;

  constructor(
    private readonly bundle: Bundle,
    private readonly viewer: Viewer,
    private readonly options: ClipOptions,
    private readonly pull: Pull,
  ) {}

  /** Open a clip of so many frames of this size. */
  async openVideo(
    size: Size,
    length: number,
    onProgress: (progress: LoadProgress) => void,
    signal: AbortSignal,
  ): Promise<number> {
    if (length === 0) throw new FrameError("The clip has no frames; give one at least.");
    const network = await this.open(onProgress, signal);
    const clip = this.opened++;
    const frame = async (number: number) => {
      const pixels = await this.pull(clip, number);
      checkFrame(pixels, size);
      return pixels;
    };
    const { rule } = this.tracking;
    const video = new LocalVideo(this.openView, network, { size, length, frame }, rule);
    this.clips.set(clip, video);
    return clip;
  }

  /** Open a stream of frames. */
  async openStream(
    onProgress: (progress: LoadProgress) => void,
    signal: AbortSignal,
  ): Promise<number> {
    const network = await this.open(onProgress, signal);
    const clip = this.opened++;
    this.clips.set(clip, new LocalStream(this.openView, network, this.tracking.rule));
    return clip;
  }

  get(clip: number): LocalVideo<Features> | LocalStream<Features> {
    const found = this.clips.get(clip);
    if (found === undefined) throw new SessionClosed("The clip is closed; open it again.");
    return found;
  }

  video(clip: number): LocalVideo<Features> {
    return this.get(clip) as LocalVideo<Features>;
  }

  stream(clip: number): LocalStream<Features> {
    return this.get(clip) as LocalStream<Features>;
  }

  close(clip: number): void {
    this.clips.delete(clip);
  }

  private readonly openView: OpenView = (photo) =>
    this.bundle.strategy.open(this.viewer, photo, {});

  private get tracking(): Tracking {
    const { tracking, name } = this.bundle.manifest;
    if (tracking === null) {
      throw new BundleError(
        `The bundle of ${name} does not track things through clips; export a network that has ` +
          "propagation and fusion.",
      );
    }
    return tracking;
  }

  private async open(
    onProgress: (progress: LoadProgress) => void,
    signal: AbortSignal,
  ): Promise<TrackPrograms> {
    if (this.network !== null) return this.network;
    const tell: Tell = (stage) => (done, total) => onProgress({ stage, done, total });
    const network = (this.unchecked ??= await this.openPrograms(tell, signal));
    if (this.options.verify) await this.replayGolden(network, tell("verify"));
    [this.network, this.unchecked] = [network, null];
    signal.throwIfAborted();
    return network;
  }

  private async openPrograms(tell: Tell, signal: AbortSignal): Promise<TrackPrograms> {
    const { tracking, bundle } = this;
    const { programs, padValue } = bundle.manifest;
    const files = await fetchTracking(bundle, tracking, tell("download"), signal);
    const { threads } = this.options;
    const engine = await OnnxRuntimeEngine.open(programs, files, threads, tell("open"));
    return new TrackPrograms(tracking, programs, engine, padValue);
  }

  private async replayGolden(
    network: TrackPrograms,
    onClip: (done: number, total: number) => void,
  ): Promise<void> {
    const { manifest, golden, goldenPhoto } = this.bundle;
    const photo = await readPhoto(new Blob([goldenPhoto]));
    for (const [done, clip] of golden.clips.entries()) {
      onClip(done, golden.clips.length);
      await checkGoldenClip(clip, photo, network, this.tracking.rule, manifest.precision);
    }
    onClip(golden.clips.length, golden.clips.length);
  }
}
