/** The bar beneath a clip's frame: the timeline, steps, play, and the button that tracks. */

import { FRAME_STATES } from "../../src/index.ts";
import { context2d, element } from "../dom.ts";
import { Scale, type Run } from "./timeline.ts";
import { timeInWords } from "./times.ts";

export interface ControlEvents {
  /** The user goes to a frame. */
  onGo(number: number): void;
  onPlay(): void;
  onTrack(): void;
}

/** What the timeline draws. */
export interface Drawn {
  readonly runs: readonly Run[];
  readonly touched: readonly number[];
}

/** Half the slider's thumb, and its height, as style.css has them, in CSS pixels. */
const INSET = 11;
const SLIDER_HEIGHT = 32;
const TRACK_HEIGHT = 10;
const TOUCH_RADIUS = 4;

const stage = element("stage", HTMLElement);
const bar = element("clip", HTMLElement);
const canvas = element("timeline", HTMLCanvasElement);
const slider = element("frame", HTMLInputElement);
const clock = element("clock", HTMLElement);
const previous = element("previous", HTMLButtonElement);
const next = element("next", HTMLButtonElement);
const play = element("play", HTMLButtonElement);
const track = element("track", HTMLButtonElement);

export class ClipControls {
  private drawn: Drawn = { runs: [], touched: [] };
  private readonly listening = new AbortController();
  private readonly observer = new ResizeObserver(() => this.paint());
  private readonly scheme = matchMedia("(prefers-color-scheme: dark)");

  constructor(
    private readonly times: readonly number[],
    private readonly events: ControlEvents,
  ) {
    const { signal } = this.listening;
    slider.max = String(times.length - 1);
    slider.addEventListener("input", () => events.onGo(slider.valueAsNumber), { signal });
    slider.addEventListener("keydown", (event) => this.keyDown(event), { signal });
    stage.addEventListener("keydown", (event) => this.stageKeyDown(event), { signal });
    previous.addEventListener("click", () => this.step(-1), { signal });
    next.addEventListener("click", () => this.step(1), { signal });
    play.addEventListener("click", () => events.onPlay(), { signal });
    track.addEventListener("click", () => events.onTrack(), { signal });
    this.scheme.addEventListener("change", () => this.paint(), { signal });
    this.observer.observe(canvas);
    bar.hidden = false;
  }

  /** Leave the bar to another clip. */
  close(): void {
    this.listening.abort();
    this.observer.disconnect();
    bar.hidden = true;
  }

  showFrame(number: number): void {
    const { length } = this.times;
    slider.valueAsNumber = number;
    const time = timeInWords(this.times[number] ?? 0);
    slider.setAttribute("aria-valuetext", `frame ${number + 1} of ${length}, at ${time}`);
    clock.textContent = `${time} · ${number + 1} / ${length}`;
    previous.setAttribute("aria-disabled", String(number === 0));
    next.setAttribute("aria-disabled", String(number === length - 1));
  }

  showPlaying(isPlaying: boolean): void {
    play.classList.toggle("playing", isPlaying);
    play.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
  }

  /** @param label what a press of the button does now */
  showTrack(label: string, isPossible: boolean): void {
    track.textContent = label;
    track.title = `${label} (T)`;
    // A button that is disabled would lose the focus.
    track.setAttribute("aria-disabled", String(!isPossible));
  }

  draw(drawn: Drawn): void {
    this.drawn = drawn;
    this.paint();
  }

  private step(by: number): void {
    const number = slider.valueAsNumber + by;
    if (number >= 0 && number < this.times.length) this.events.onGo(number);
  }

  private keyDown(event: KeyboardEvent): void {
    if (event.key !== " ") return;
    event.preventDefault();
    this.events.onPlay();
  }

  private stageKeyDown(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      ",": () => this.step(-1),
      ".": () => this.step(1),
      p: () => this.events.onPlay(),
      t: () => this.events.onTrack(),
    }[event.key.toLowerCase()];
    if (act === undefined) return;
    event.preventDefault();
    act();
  }

  /** A thick line where the thing is seen, a thin one where it is not, a faint one not tracked. */
  private paint(): void {
    const { clientWidth: width, clientHeight: height } = canvas;
    if (width === 0 || height === 0) return;
    const ratio = window.devicePixelRatio;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = context2d(canvas);
    context.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    const accent = style.getPropertyValue("--accent");
    const line = style.getPropertyValue("--line");
    const scale = new Scale(width, INSET, this.times.length);
    const middle = height - SLIDER_HEIGHT / 2;
    const { unknown, present } = FRAME_STATES;
    for (const run of this.drawn.runs) {
      const [left, right] = scale.ends(run);
      const thickness = run.known === present ? TRACK_HEIGHT : run.known === unknown ? 4 : 2;
      context.fillStyle = run.known === unknown ? line : accent;
      context.fillRect(left, middle - thickness / 2, Math.max(right - left, 1), thickness);
    }
    context.fillStyle = style.getPropertyValue("--text");
    for (const number of this.drawn.touched) {
      context.beginPath();
      context.arc(scale.x(number), TOUCH_RADIUS + 1, TOUCH_RADIUS, 0, 2 * Math.PI);
      context.fill();
    }
  }
}
