/** Arithmetic of a clip's frames: their numbers, times and sizes. All times are in seconds. */

import type { Size } from "../../src/index.ts";

/** What is worked on of a long clip: its beginning, so many seconds and frames at most. */
export const LONGEST_S = 60;
export const MOST_FRAMES = 1800;
/** The longer side of frames, in pixels: larger ones are made smaller. */
export const FRAME_SIDE = 1280;

/** How long a frame is shown whose clip does not say so: it has only one. */
const ONLY_FRAME_S = 1 / 25;

/** Those of frames that are shown, each once, in their order; what lies before 0 is not. */
export function shownTimestamps(timestamps: Iterable<number>): number[] {
  return [...new Set(timestamps)].filter((time) => time >= 0).sort((a, b) => a - b);
}

/**
 * When each frame is shown, from 0 on, of as many as are worked on.
 *
 * @param shown the timestamps of all that are shown
 */
export function frameTimes(shown: readonly number[]): number[] {
  const first = shown[0] ?? 0;
  return shown
    .map((time) => time - first)
    .filter((time) => time < LONGEST_S)
    .slice(0, MOST_FRAMES);
}

/** The number of the frame that is shown at a time: the last one that has begun. */
export function frameAt(times: readonly number[], time: number): number {
  let [low, high] = [0, times.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((times[middle] as number) <= time) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** How long a frame is shown; the last one as long as the one before it. */
export function frameDuration(times: readonly number[], number: number): number {
  if (times.length < 2) return ONLY_FRAME_S;
  const from = Math.min(number, times.length - 2);
  return (times[from + 1] as number) - (times[from] as number);
}

/** The size to work in: even sides, as encoders ask, the longer one `FRAME_SIDE` at most. */
export function workingSize({ height, width }: Size): Size {
  const scale = Math.min(1, FRAME_SIDE / Math.max(height, width));
  const even = (side: number): number => Math.max(2, 2 * Math.round((side * scale) / 2));
  return { height: even(height), width: even(width) };
}

/** "1:07.4", as players write it. */
export function timeInWords(seconds: number): string {
  const tenths = Math.floor(10 * seconds + 1e-6);
  const rest = tenths % 600;
  const padded = String(Math.floor(rest / 10)).padStart(2, "0");
  return `${Math.floor(tenths / 600)}:${padded}.${rest % 10}`;
}
