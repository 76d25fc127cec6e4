/** Numbers and levels in plain words. */

import type { Candidate } from "../src/index.ts";
import type { Tool } from "./drafting.ts";

const LEVEL_WORDS: readonly (readonly string[])[] = [
  ["Whole"],
  ["Part", "Whole"],
  ["Part", "Larger part", "Whole"],
  ["Small part", "Part", "Larger part", "Whole"],
  ["Detail", "Small part", "Part", "Larger part", "Whole"],
];

export interface LabelledCandidate extends Candidate {
  readonly label: string;
}

/**
 * The candidates from the finest level to the coarsest, each with a word for what it tends to be.
 * @param levels names of all levels of the network, finest first
 */
export function labelCandidates(
  candidates: readonly Candidate[],
  levels: readonly string[],
): LabelledCandidate[] {
  const sorted = [...candidates].sort((a, b) => levels.indexOf(a.level) - levels.indexOf(b.level));
  const words = LEVEL_WORDS[sorted.length - 1];
  return sorted.map((candidate, i) => ({
    ...candidate,
    label: words?.[i] ?? `Size ${i + 1} of ${sorted.length}`,
  }));
}

/** What to do with a tool. */
export function toolInWords({ mode, isBrush }: Tool): string {
  if (mode === "box") return "Draw a box about the thing.";
  const what = mode === "add" ? "what belongs to it" : "what does not belong to it";
  return isBrush ? `Draw over ${what}.` : `Tap ${what}.`;
}

/** "4.1 MB": decimal units, as browsers and shops count. */
export function bytesInWords(bytes: number): string {
  return withUnit(bytes, ["B", "kB", "MB", "GB"]);
}

/** "812 million": how many multiply-adds a tap took. */
export function countInWords(count: number): string {
  return withUnit(count, ["", "thousand", "million", "billion"]).trim();
}

export function millisecondsInWords(ms: number): string {
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/** "12 %", and "0.002 %" rather than "0 %" of something that is there. */
export function shareInWords(share: number): string {
  const percent = 100 * share;
  if (percent === 0 || percent >= 1) return `${Math.round(percent)} %`;
  return percent < 0.001 ? "under 0.001 %" : `${percent.toPrecision(1)} %`;
}

function withUnit(value: number, units: readonly string[]): string {
  let step = 0;
  let rest = value;
  while (rest >= 999.5 && step < units.length - 1) {
    rest /= 1000;
    step++;
  }
  return `${step > 0 && rest < 9.95 ? rest.toFixed(1) : Math.round(rest)} ${units[step] ?? ""}`;
}
