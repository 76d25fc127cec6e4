/** The panel that tells of an answer: what was computed, what it cost. */

import type { Size, TapResult } from "../src/index.ts";
import { coveredShare } from "./coverage.ts";
import { create, element } from "./dom.ts";
import type { Picture } from "./photo.ts";
import type { RegionGroup } from "./regions.ts";
import { countInWords, millisecondsInWords, shareInWords } from "./words.ts";

const legend = element("legend", HTMLUListElement);
const details = element("details", HTMLElement);

export function showAnswer(result: TapResult): void {
  element("result", HTMLElement).hidden = false;
  element("cost", HTMLElement).textContent =
    `${timeInWords(result)}, ${countInWords(result.macs)} multiply-adds`;
  const facts: [string, string][] = [
    ["Schedule", result.schedule],
    ["Mask window", result.maskWindow],
    ["Canvas", sizeInWords(result.canvas)],
    ["Photo", sizeInWords(result.photo)],
    ["Level", result.level],
    ["Score", result.score.toFixed(3)],
    ["Closer look", result.tile === null ? "not needed" : `at ${result.tile.join(", ")}`],
    ...Object.entries(result.timingsMs).map(([stage, ms]): [string, string] => [
      stage,
      millisecondsInWords(ms),
    ]),
  ];
  fillFacts(details, facts);
}

/** An answer in one line. @param what has happened, such as "Mask found" */
export function answerInWords(result: TapResult, what: string, { noun }: Picture): string {
  const covered = coveredShare(result.probability);
  if (covered === 0) return "Nothing is marked; tap another place.";
  return `${what}: ${shareInWords(covered)} of the ${noun}`;
}

/** How long it took to answer. */
export function timeInWords({ timingsMs }: TapResult): string {
  return millisecondsInWords(timingsMs["total"] ?? 0);
}

/** A description list of names and values. */
export function fillFacts(list: HTMLElement, facts: readonly (readonly [string, string])[]): void {
  list.replaceChildren(
    ...facts.flatMap(([name, value]) => [create("dt", {}, name), create("dd", {}, value)]),
  );
}

/** The legend of the drawn windows; hidden if there are none. */
export function showLegend(groups: readonly RegionGroup[]): void {
  legend.hidden = groups.length === 0;
  const hasTwoLooks = groups.some((group) => group.look > 0);
  legend.replaceChildren(
    ...groups.map((group) => {
      const swatch = create("span", { className: group.look === 0 ? "swatch dashed" : "swatch" });
      swatch.style.borderColor = group.color;
      const look = group.look === 0 ? "first look" : "closer look";
      const sizes = group.boxes.map(([x0, y0, x1, y1]) =>
        sizeInWords({ width: Math.round(x1 - x0), height: Math.round(y1 - y0) }),
      );
      const windows = `${sizes.join(", ")} pixels of the photo`;
      return create(
        "li",
        {},
        swatch,
        create("span", {}, group.program),
        create("span", { className: "quiet" }, hasTwoLooks ? `${look}: ${windows}` : windows),
      );
    }),
  );
}

function sizeInWords({ width, height }: Size): string {
  return `${width} × ${height}`;
}
