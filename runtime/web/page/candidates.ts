/** What a first tap may mean, as small pictures of the masks, to be chosen from. */

import type { Box, Candidate, Size, TapResult } from "../src/index.ts";
import { coveredShare } from "./coverage.ts";
import { context2d, create, element } from "./dom.ts";
import { paintOverlay, TINTS } from "./overlay.ts";
import { within, type Picture } from "./photo.ts";
import type { Point } from "./viewport.ts";
import { labelCandidates, shareInWords, type LabelledCandidate } from "./words.ts";

/** Sides of a picture, in CSS pixels, and how many pixels it has for each of them. */
const SIDE = 64;
const DENSITY = 2;
/** The longer side of a mask that pictures are cut from, in pixels, at most. */
const MASK_SIDE = 2048;
/** How much is seen around the largest of the things, as a share of its longer side. */
const AROUND = 0.15;

const section = element("choice", HTMLElement);
const group = element("candidates", HTMLElement);

const ARROW_STEPS: Readonly<Record<string, number>> = {
  ArrowLeft: -1,
  ArrowUp: -1,
  ArrowRight: 1,
  ArrowDown: 1,
};

export interface Choices {
  readonly photo: Picture;
  readonly result: TapResult;
  /** All of the network's levels, finest first. */
  readonly levels: readonly string[];
  /** What another level gives; null if that is of no interest any more. */
  ask(level: string): Promise<TapResult | null>;
  onChosen(level: string): void;
}

/** What is known of a candidate once its mask is. */
interface Known {
  readonly picture: HTMLElement;
  /** Of the photo that the mask covers. */
  readonly share: number;
}

/** Of the thing that is shown: its candidates so far, by level. */
let shown: { readonly key: string; readonly known: Map<string, Known> } | null = null;

/** Show the candidates of a first tap; the pictures come one after the other. */
export function showCandidates(choices: Choices): void {
  const { result, levels } = choices;
  const key = JSON.stringify(result.candidates);
  if (shown?.key !== key) shown = { key, known: new Map() };
  const { known } = shown;
  const hadFocus = group.contains(document.activeElement);
  const labelled = labelCandidates(result.candidates, levels);
  const buttons = labelled.map(({ level, label }) => {
    const isChosen = level === result.level;
    const button = create("button", { type: "button", tabIndex: isChosen ? 0 : -1 });
    button.dataset["testid"] = `candidate-${level}`;
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", String(isChosen));
    button.setAttribute("aria-label", label);
    button.addEventListener("click", () => choices.onChosen(level));
    button.append(placeholder());
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
  group.replaceChildren(...buttons);
  section.hidden = buttons.length < 2;
  if (hadFocus) buttons.find((button) => button.tabIndex === 0)?.focus();
  const slots = labelled.map((candidate, i) => ({ ...candidate, button: buttons[i]! }));
  void fill(slots, choices, known);
}

interface Slot extends LabelledCandidate {
  readonly button: HTMLButtonElement;
}

/** Show what is known of the candidates, and ask for the rest until something else is shown. */
async function fill(
  slots: readonly Slot[],
  { photo, result, ask }: Choices,
  known: Map<string, Known>,
): Promise<void> {
  const view = viewOf(photo, result.candidates);
  const show = ({ level, label, button }: Slot): void => {
    const found = known.get(level);
    if (found === undefined) return;
    button.setAttribute("aria-label", `${label}, covers ${shareInWords(found.share)} of the photo`);
    button.replaceChildren(found.picture);
  };
  const learn = (answer: TapResult): void => {
    const picture = pictureOf(photo, answer, view);
    known.set(answer.level, { picture, share: coveredShare(answer.probability) });
  };
  if (!known.has(result.level)) learn(result);
  slots.forEach(show);
  for (const slot of slots.filter(({ level }) => !known.has(level))) {
    // What fails here fails again, and is told, when the candidate is chosen.
    const answer = await ask(slot.level).catch(() => null);
    if (answer === null || !slot.button.isConnected) return;
    learn(answer);
    show(slot);
  }
}

/** Take the candidates away, where there are none to choose from. */
export function hideCandidates(): void {
  section.hidden = true;
  group.replaceChildren();
  shown = null;
}

/** The square of the photo that shows all candidates, in photo pixels. */
function viewOf({ height, width }: Size, candidates: readonly Candidate[]): Box {
  const boxes = candidates.map(({ box }) => box);
  const side = (at: 0 | 1 | 2 | 3) => boxes.map((box) => box[at]);
  const [x0, y0] = [Math.min(...side(0)), Math.min(...side(1))];
  const [x1, y1] = [Math.max(...side(2)), Math.max(...side(3))];
  const longer = Math.max(x1 - x0, y1 - y0, 1) * (1 + 2 * AROUND);
  const size = Math.min(longer, Math.max(height, width));
  const [x, y] = [(x0 + x1) / 2, (y0 + y1) / 2];
  return [x - size / 2, y - size / 2, x + size / 2, y + size / 2];
}

/** The mask over its part of the photo. */
function pictureOf(photo: Picture, result: TapResult, [x0, y0, x1]: Box): HTMLCanvasElement {
  const pixels = SIDE * DENSITY;
  const scale = pixels / (x1 - x0);
  const canvas = create("canvas", { width: pixels, height: pixels });
  canvas.setAttribute("aria-hidden", "true");
  const context = context2d(canvas);
  context.imageSmoothingQuality = "high";
  const [width, height] = [photo.width * scale, photo.height * scale];
  context.drawImage(photo.preview, -x0 * scale, -y0 * scale, width, height);
  const size = within({ height: Math.ceil(height), width: Math.ceil(width) }, MASK_SIDE);
  const finer = size.width / photo.width;
  const mask = cropped(result.maskAt(size.height, size.width), size, (pixel) => [
    Math.floor((x0 + (pixel.x + 0.5) / scale) * finer),
    Math.floor((y0 + (pixel.y + 0.5) / scale) * finer),
  ]);
  const overlay = new ImageData(pixels, pixels);
  paintOverlay(overlay.data, mask, { height: pixels, width: pixels }, 0, TINTS[0]);
  const layer = new OffscreenCanvas(pixels, pixels);
  context2d(layer).putImageData(overlay, 0, 0);
  context.drawImage(layer, 0, 0);
  return canvas;
}

/** The mask under the pixels of a picture, 0 beside the photo. */
function cropped(
  mask: Uint8Array,
  { height, width }: Size,
  under: (pixel: Point) => readonly [x: number, y: number],
): Uint8Array {
  const side = SIDE * DENSITY;
  return new Uint8Array(side * side).map((_, i) => {
    const [x, y] = under({ x: i % side, y: Math.floor(i / side) });
    return x >= 0 && y >= 0 && x < width && y < height ? (mask[y * width + x] as number) : 0;
  });
}

function placeholder(): HTMLElement {
  return create("span", { className: "placeholder" });
}
