/** The panel that tells of an answer: candidates, what was computed, what it cost. */

import type { Size, TapResult } from "../src/index.ts";
import { coveredShare } from "./coverage.ts";
import { create, element } from "./dom.ts";
import type { RegionGroup } from "./regions.ts";
import { countInWords, labelCandidates, millisecondsInWords, shareInWords } from "./words.ts";

const candidates = element("candidates", HTMLElement);
const legend = element("legend", HTMLUListElement);
const details = element("details", HTMLElement);

/** Show an answer. @param onLevel is called with the level of a candidate that was chosen */
export function showAnswer(
  result: TapResult,
  levels: readonly string[],
  onLevel: (level: string) => void,
): void {
  element("result", HTMLElement).hidden = false;
  showCandidates(result, levels, onLevel);
  const total = result.timingsMs["total"] ?? 0;
  element("cost", HTMLElement).textContent =
    `${millisecondsInWords(total)}, ${countInWords(result.macs)} multiply-adds`;
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

/** An answer in one line. */
export function answerInWords(result: TapResult): string {
  const covered = coveredShare(result.probability);
  if (covered === 0) return "Nothing was found there; tap another place.";
  const time = millisecondsInWords(result.timingsMs["total"] ?? 0);
  return `Mask found: covers ${shareInWords(covered)} of the photo, ${time}`;
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

function showCandidates(
  result: TapResult,
  levels: readonly string[],
  onLevel: (level: string) => void,
): void {
  const hadFocus = candidates.contains(document.activeElement);
  const buttons = labelCandidates(result.candidates, levels).map(({ level, label, score }) => {
    const isChosen = level === result.level;
    const button = create(
      "button",
      { type: "button", tabIndex: isChosen ? 0 : -1 },
      create("span", {}, label),
      create("span", { className: "quiet" }, score.toFixed(2)),
    );
    button.dataset["testid"] = `candidate-${level}`;
    button.title = `Level ${level}, score ${score.toFixed(2)}`;
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", String(isChosen));
    button.addEventListener("click", () => onLevel(level));
    return button;
  });
  buttons.forEach((button, i) => {
    button.addEventListener("keydown", (event) => {
      const step = ARROW_STEPS[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const next = buttons[(i + step + buttons.length) % buttons.length];
      next?.focus();
      next?.click();
    });
  });
  candidates.replaceChildren(...buttons);
  if (hadFocus) buttons.find((button) => button.tabIndex === 0)?.focus();
}

const ARROW_STEPS: Readonly<Record<string, number>> = {
  ArrowLeft: -1,
  ArrowUp: -1,
  ArrowRight: 1,
  ArrowDown: 1,
};

function sizeInWords({ width, height }: Size): string {
  return `${width} × ${height}`;
}
