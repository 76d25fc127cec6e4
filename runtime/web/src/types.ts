/**
 * The public types of the library. Names are those of the Python runtime, in camel case; boxes are
 * [x0, y0, x1, y1] in photo pixels, half-open; sizes are in pixels; times in milliseconds.
 */

export type Box = readonly [x0: number, y0: number, x1: number, y1: number];

export interface Size {
  readonly height: number;
  readonly width: number;
}

export interface LoadOptions {
  /** Name of a schedule, or "zoom", which is what a bundle with a zoom does by default. */
  schedule?: string;
  /** A canvas that a schedule serves; without it each photo gets the one that suits it. */
  canvas?: Size;
  /** Threads of WebAssembly; 1 unless the page is cross-origin isolated. More than cores warn. */
  threads?: number;
  /** Whether to replay the first golden tap of each schedule that may answer; true by default. */
  verify?: boolean;
  onProgress?: (progress: LoadProgress) => void;
  signal?: AbortSignal;
}

export interface LoadProgress {
  readonly stage: "download" | "open" | "verify";
  /** Of the stage: bytes for "download", programs for "open", taps for "verify". */
  readonly done: number;
  readonly total: number;
}

/** What taps may be answered with. */
export interface BundleInfo {
  readonly name: string;
  readonly licence: string;
  readonly precision: "fp32" | "fp16" | "int8";
  readonly identity: string;
  /** Size of all files that were fetched. */
  readonly bytes: number;
  readonly schedules: readonly {
    readonly name: string;
    readonly canvas: Size;
    readonly exact: boolean;
  }[];
  readonly hasZoom: boolean;
}

export interface EngineReport {
  readonly engine: "onnxruntime-web";
  readonly version: string;
  readonly threads: number;
  readonly crossOriginIsolated: boolean;
}

/** A photo that was handed over; what all taps on it share has run. */
export interface EncodedPhoto extends Size {
  readonly schedule: string;
  readonly canvas: Size;
  readonly timingsMs: Readonly<Record<string, number>>;
}

export interface Candidate {
  readonly level: string;
  readonly score: number;
  readonly box: Box;
}

/** A window that a program of the tap read, as the receptive-field table placed it. */
export interface ComputedRegion {
  readonly program: string;
  readonly input: string;
  /** In photo pixels, clipped to the photo; of a zoom, each look's windows on what it looked at. */
  readonly box: Box;
  /** 0 for a first look (or the only one), 1 for the closer look of a zoom. */
  readonly look: number;
}

export interface TapOptions {
  /** The level that answers instead of the one with the highest score: one of the candidates'. */
  level?: string;
}

export interface TapResult {
  /** The size of the whole photo. */
  readonly photo: Size;
  /** 1 in the thing, 0 elsewhere: photo.height * photo.width, row by row; made at the first use. */
  readonly mask: Uint8Array;
  /** The mask at another size of the whole photo, such as that of a preview. */
  maskAt(height: number, width: number): Uint8Array;
  readonly score: number;
  readonly level: string;
  readonly box: Box;
  /** Every level that was asked, the best first. */
  readonly candidates: readonly Candidate[];
  readonly schedule: string;
  readonly maskSchedule: string;
  readonly canvas: Size;
  /** Multiply-adds of this tap, without those that `encode` ran once for all taps on the photo. */
  readonly macs: number;
  /** Of a zoom that looked twice: what the closer look saw, in photo pixels. */
  readonly tile: Box | null;
  readonly regions: readonly ComputedRegion[];
  /** canvas, cut, engine/<program>, mask, and total, which covers them all. */
  readonly timingsMs: Readonly<Record<string, number>>;
}

/** Everything that is a photo to a browser, or RGBA pixels. */
export type Photo = Blob | ImageBitmap | ImageData;

export interface Segmenter {
  readonly bundle: BundleInfo;
  readonly engineReport: EngineReport;
  /** Levels of the network, finest first. */
  readonly levels: readonly string[];
  encode(photo: Photo): Promise<EncodedPhoto>;
  /** The thing at a pixel of the last photo: x is the column, (0, 0) the top left. */
  tap(x: number, y: number, options?: TapOptions): Promise<TapResult>;
  /** Replay all golden taps; rejects with a BundleError for the first that differs. */
  checkGolden(): Promise<void>;
  /** Free the photo and what was computed of it; encode() again before the next tap. */
  drop(): Promise<void>;
  /** Free everything; the segmenter is of no use afterwards. */
  close(): void;
}
