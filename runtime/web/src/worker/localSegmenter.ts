/** A tap in, an answer out: all that happens in the worker. */

import { Viewer } from "../answer/look.ts";
import type { Answer } from "../answer/result.ts";
import { fetchBundle, type Bundle } from "../bundle/files.ts";
import { checkGoldenSession, checkGoldenTap, type GoldenTap } from "../bundle/golden.ts";
import { OnnxRuntimeEngine } from "../engines/onnxruntime.ts";
import { readPhoto, type Photo } from "../image/photo.ts";
import type { Size } from "../rectangles.ts";
import { Single } from "../strategies/single.ts";
import type { Strategy, View } from "../strategies/strategy.ts";
import { timed, type Timings } from "../timing.ts";
import { GUIDED } from "../strategies/step.ts";
import { LocalClips, type ClipOptions, type Pull } from "./localClips.ts";
import { LocalSession } from "./localSession.ts";
import type { BundleRequest, Loaded, LoadProgress, Methods, Opened } from "./protocol.ts";

/** Answers taps with one bundle, on photos that are open or that are given with the tap. */
export class LocalSegmenter {
  readonly clips: LocalClips;
  private readonly viewer: Viewer;
  private readonly sessions = new Map<number, LocalSession>();
  /** How many sessions were opened so far: the name of the next one. */
  private opened = 0;

  private constructor(
    private readonly bundle: Bundle,
    private readonly engine: OnnxRuntimeEngine,
    options: ClipOptions,
    pull: Pull,
  ) {
    const { programs, meaning, padValue } = bundle.manifest;
    this.viewer = new Viewer(programs, meaning, padValue, engine);
    this.clips = new LocalClips(bundle, this.viewer, options, pull);
  }

  /**
   * Fetch a bundle, open its programs and replay golden taps; see `TapSegmenter.load`.
   *
   * `pull` gets a frame of a clip from the page.
   */
  static async load(
    { base, schedule, canvas, threads, verify }: BundleRequest,
    onProgress: (progress: LoadProgress) => void,
    pull: Pull,
  ): Promise<LocalSegmenter> {
    const tell = (stage: LoadProgress["stage"]) => (done: number, total: number) =>
      onProgress({ stage, done, total });
    const bundle = await fetchBundle(base, schedule, canvas, tell("download"));
    const { manifest, programs } = bundle;
    const opened = tell("open");
    const engine = await OnnxRuntimeEngine.open(manifest.programs, programs, threads, opened);
    const segmenter = new LocalSegmenter(bundle, engine, { threads, verify }, pull);
    if (verify) await segmenter.replayGolden(1, tell("verify"));
    return segmenter;
  }

  /** What the page is told of the bundle and the engine. */
  get loaded(): Loaded {
    const { manifest, strategy, bytes } = this.bundle;
    return {
      bundle: {
        name: manifest.name,
        licence: manifest.licence,
        precision: manifest.precision,
        identity: manifest.identity,
        bytes,
        schedules: strategy.schedules.map((v) => {
          return { name: v.name, canvas: v.canvas, exact: v.halo === 1 };
        }),
        strategy: strategy.name,
        corrects: strategy.name === GUIDED,
        tracks: manifest.tracking !== null,
      },
      engineReport: this.engine.report,
      levels: manifest.meaning.levels.map((level) => level.name),
    };
  }

  /** Read a photo, and run once what all taps on it share. */
  async open(photo: Photo): Promise<Opened> {
    const timings: Timings = {};
    return timed(timings, "total", async () => {
      const { view, size } = await this.view(photo, timings);
      const session = this.opened++;
      this.sessions.set(session, new LocalSession(view));
      return { session, size, nbytes: view.nbytes, timingsMs: timings };
    });
  }

  /** An open session. */
  session(number: number): LocalSession {
    return this.sessions.get(number)!;
  }

  /** What is at a pixel of a photo of which nothing is kept. */
  async tap({ photo, at, level }: Methods["tap"]["arguments"]): Promise<Answer> {
    const timings: Timings = {};
    return timed(timings, "total", async () => {
      const { view } = await this.view(photo, timings);
      const answer = await (await view.look(at, timings)).result(timings, level);
      return { ...answer, macs: answer.macs + view.macs };
    });
  }

  /** Forget a session. */
  close(session: number): void {
    this.sessions.delete(session);
  }

  /** Replay all golden taps; `BundleError` for the first that differs. */
  checkGolden(): Promise<void> {
    return this.replayGolden(Infinity, () => undefined);
  }

  private async view(photo: Photo, timings: Timings): Promise<{ view: View; size: Size }> {
    const pixels = await timed(timings, "decode", () => readPhoto(photo));
    const view = await this.bundle.strategy.open(this.viewer, pixels, timings);
    return { view, size: { height: pixels.height, width: pixels.width } };
  }

  private async replayGolden(
    most: number,
    onTap: (done: number, total: number) => void,
  ): Promise<void> {
    const { manifest, goldenPhoto } = this.bundle;
    const photo = await readPhoto(new Blob([goldenPhoto]));
    const runs = this.goldenRuns().map((run) => ({ ...run, taps: run.taps.slice(0, most) }));
    const isOwn = this.bundle.strategy === this.bundle.ownStrategy;
    const sessions = isOwn ? this.bundle.golden.sessions.slice(0, most) : [];
    const total = runs.reduce((sum, { taps }) => sum + taps.length, sessions.length);
    let done = 0;
    for (const { name, strategy, taps } of runs) {
      const view = await strategy.open(this.viewer, photo, {});
      for (const tap of taps) {
        onTap(done++, total);
        await checkGoldenTap(tap, name, photo, manifest.precision, async (at) =>
          (await view.look(at, {})).result({}),
        );
      }
    }
    for (const session of sessions) {
      onTap(done++, total);
      const view = new LocalSession(await this.bundle.strategy.open(this.viewer, photo, {}));
      await checkGoldenSession(session, photo, manifest.precision, (v) => view.make(v));
    }
    onTap(done, total);
  }

  /** The golden taps of every schedule that may run, and of the bundle's strategy if it does. */
  private goldenRuns(): { name: string; strategy: Strategy; taps: readonly GoldenTap[] }[] {
    const { manifest, golden, strategy, ownStrategy } = this.bundle;
    const runs = manifest.schedules.map((schedule, number) => ({
      name: `the schedule '${schedule.name}'`,
      strategy: new Single([schedule], schedule.canvas),
      taps: golden.schedules[number]!,
    }));
    const own = { name: "the strategy", strategy, taps: golden.strategy };
    return [
      ...runs.filter((run) => strategy.schedules.includes(run.strategy.schedules[0]!)),
      ...(strategy === ownStrategy ? [own] : []),
    ];
  }
}
