/** The chooser of the thing that gestures are about. */

import { create, element } from "../dom.ts";
import { setStatus } from "../notices.ts";
import { TINTS } from "../overlay.ts";

const section = element("things-section", HTMLElement);
const group = element("things", HTMLElement);
const add = element("add-thing", HTMLButtonElement);

/** So many can still be told apart by their colours. */
const MOST = TINTS.length;

export class ThingChooser {
  private chosen = 0;
  /** How many can be chosen. */
  private count = 1;
  private readonly listening = new AbortController();

  /** @param marked how many things there are: another one comes once all are marked */
  constructor(
    private readonly marked: () => number,
    private readonly onChoose: (thing: number) => void,
  ) {
    add.addEventListener("click", () => this.add(), { signal: this.listening.signal });
    section.hidden = false;
    this.show();
  }

  /** The number of the thing, from 0 on. */
  get thing(): number {
    return this.chosen;
  }

  /** Leave out things that are gone, but for the one that is the next to be marked. */
  settle(): void {
    const most = this.marked() + 1;
    if (this.count <= most) return;
    this.count = most;
    if (this.chosen < most) this.show();
    else this.choose(most - 1);
  }

  close(): void {
    this.listening.abort();
    section.hidden = true;
  }

  private add(): void {
    const unmarked = this.marked() + 1;
    if (unmarked <= this.count) return setStatus(`Tap thing ${unmarked} first.`);
    this.count++;
    this.choose(this.count - 1);
  }

  private choose(thing: number): void {
    this.chosen = thing;
    this.show();
    this.onChoose(thing);
  }

  private show(): void {
    const labels = Array.from({ length: this.count }, (_, thing) => {
      const isChosen = thing === this.chosen;
      const input = create("input", { type: "radio", name: "thing", checked: isChosen });
      input.dataset["testid"] = `thing-${thing}`;
      input.addEventListener("change", () => this.choose(thing));
      const swatch = create("span", { className: "dot" });
      swatch.style.background = `rgb(${TINTS[thing]!.join(" ")})`;
      return create("label", {}, input, swatch, create("span", {}, `Thing ${thing + 1}`));
    });
    const hadFocus = group.contains(document.activeElement);
    group.replaceChildren(...labels);
    if (hadFocus) group.querySelector<HTMLInputElement>("input:checked")?.focus();
    add.hidden = this.count === MOST;
  }
}
