/** A tap in, an answer out: all that happens in the worker. */

import type { Answer } from "./answer.ts";
import { fetchBundle, type Bundle } from "./bundle.ts";
import { choose, ZOOM, type Choice } from "./choose.ts";
import { checkedTable } from "./consistency.ts";
import { TraceNetError } from "./errors.ts";
import { checkGoldenTap } from "./golden.ts";
import { OnnxRuntimeEngine } from "./onnxRuntime.ts";
import { OpenPhoto, type Closer } from "./openPhoto.ts";
import { readPhoto } from "./photo.ts";
import type { Pixels } from "./pixels.ts";
import type { BundleRequest, Loaded } from "./protocol.ts";
import { Replay } from "./replay.ts";
import { timedAsync, type Timings } from "./timing.ts";
import type { EncodedPhoto, LoadProgress, Photo, Size } from "./types.ts";

/** Golden taps that one way of answering has to reproduce. */
interface GoldenRun {
  readonly schedule: string;
  readonly replay: Replay;
  readonly closer: Closer | null;
  /** The index of its taps in the bundle's golden taps. */
  readonly number: number;
}

/** Answers taps with one bundle; holds one photo. */
export class LocalSegmenter {
  private readonly replays = new Map<string, Replay>();
  private photo: OpenPhoto | null = null;

  private constructor(
    private readonly bundle: Bundle,
    private readonly engine: OnnxRuntimeEngine,
    private readonly canvas: Size | undefined,
  ) {}

  /** Fetch a bundle, open its programs and replay golden taps; see `TapSegmenter.load`. */
  static async load(
    { base, schedule, canvas, threads, verify }: BundleRequest,
    onProgress: (progress: LoadProgress) => void,
  ): Promise<LocalSegmenter> {
    const bundle = await fetchBundle(base, schedule, canvas, (done, total) =>
      onProgress({ stage: "download", done, total }),
    );
    const engine = await OnnxRuntimeEngine.open(bundle, threads, (done, total) =>
      onProgress({ stage: "open", done, total }),
    );
    const segmenter = new LocalSegmenter(bundle, engine, canvas);
    if (verify) {
      await segmenter.replayGolden(1, (done, total) =>
        onProgress({ stage: "verify", done, total }),
      );
    }
    return segmenter;
  }

  /** What the page is told of the bundle and the engine. */
  get loaded(): Loaded {
    const { manifest, answers, bytes } = this.bundle;
    return {
      bundle: {
        name: manifest.name,
        licence: manifest.licence,
        precision: manifest.precision,
        identity: manifest.identity,
        bytes,
        schedules: answers.schedules.map(({ name, canvas, halo }) => ({
          name,
          canvas,
          exact: halo === 1,
        })),
        hasZoom: answers.zoom !== null,
      },
      engineReport: this.engine.report,
      levels: manifest.levels.map((level) => level.name),
    };
  }

  /** Read a photo, and run once what all taps on it share; it takes the place of the one before. */
  async encode(photo: Photo): Promise<EncodedPhoto> {
    this.drop();
    const timings: Timings = {};
    return timedAsync(timings, "total", async () => {
      const pixels = await timedAsync(timings, "decode", () => readPhoto(photo));
      const { height, width } = pixels;
      this.photo = await this.open(pixels);
      const { schedule, replay, timingsMs } = this.photo;
      const { total: _, ...stages } = timingsMs;
      Object.assign(timings, stages);
      return { height, width, schedule, canvas: replay.canvas, timingsMs: timings };
    });
  }

  /** What is at a pixel of the photo; `TraceNetError` when there is no photo. */
  async tap(x: number, y: number, level?: string): Promise<Answer> {
    if (this.photo === null) {
      throw new TraceNetError("There is no photo to tap; encode one first.");
    }
    return this.photo.tap(x, y, level);
  }

  /** Replay all golden taps; `BundleError` for the first that differs. */
  checkGolden(): Promise<void> {
    return this.replayGolden(Infinity, () => undefined);
  }

  drop(): void {
    this.photo = null;
  }

  private async open(pixels: Pixels): Promise<OpenPhoto> {
    const { answers, manifest } = this.bundle;
    if (answers.zoom !== null) {
      const first = this.replay(this.ownCanvas(answers.zoom.first));
      return OpenPhoto.open(pixels, manifest.padValue, first, this.closer());
    }
    const replay = this.replay(choose(answers.schedules, pixels, this.canvas));
    return OpenPhoto.open(pixels, manifest.padValue, replay, null);
  }

  private closer(): Closer | null {
    const { zoom } = this.bundle.answers;
    return zoom && { rule: zoom, replay: this.replay(this.ownCanvas(zoom.tile)) };
  }

  private ownCanvas(number: number): Choice {
    const schedule = this.bundle.manifest.schedules[number]!;
    return { schedule, canvas: schedule.canvas };
  }

  /** The replay of a choice; its table is made at the first use and stays. */
  private replay({ schedule, canvas }: Choice): Replay {
    const { manifest } = this.bundle;
    const key = `${manifest.schedules.indexOf(schedule)} ${canvas.height} ${canvas.width}`;
    let replay = this.replays.get(key);
    if (replay === undefined) {
      const table = checkedTable(manifest, schedule, canvas);
      replay = new Replay(manifest, schedule, canvas, table, this.engine);
      this.replays.set(key, replay);
    }
    return replay;
  }

  private async replayGolden(
    most: number,
    onTap: (done: number, total: number) => void,
  ): Promise<void> {
    const { manifest, golden, goldenPhoto } = this.bundle;
    const pixels = await readPhoto(new Blob([goldenPhoto]));
    const runs = this.goldenRuns();
    const tapsOf = (run: GoldenRun) => golden[run.number]!.slice(0, most);
    const total = runs.reduce((sum, run) => sum + tapsOf(run).length, 0);
    let done = 0;
    for (const run of runs) {
      const photo = await OpenPhoto.open(pixels, manifest.padValue, run.replay, run.closer);
      for (const tap of tapsOf(run)) {
        onTap(done, total);
        await checkGoldenTap(tap, run.schedule, pixels, manifest.precision, (x, y) =>
          photo.tap(x, y),
        );
        done += 1;
      }
    }
    onTap(done, total);
  }

  private goldenRuns(): GoldenRun[] {
    const { manifest, answers } = this.bundle;
    const runs = answers.schedules.map((schedule): GoldenRun => {
      const number = manifest.schedules.indexOf(schedule);
      const replay = this.replay(this.ownCanvas(number));
      return { schedule: schedule.name, replay, closer: null, number };
    });
    if (answers.zoom === null) return runs;
    const replay = this.replay(this.ownCanvas(answers.zoom.first));
    const number = manifest.schedules.length;
    return [...runs, { schedule: ZOOM, replay, closer: this.closer(), number }];
  }
}
