/** The toolbar: what a gesture does, undo and redo, and the keys for all of it. */

import type { Mode } from "./draft.ts";
import { element } from "./dom.ts";
import type { Tool } from "./drafting.ts";

export interface ToolEvents {
  onTool(tool: Tool): void;
  onUndo(): void;
  onRedo(): void;
  onClear(): void;
}

const stage = element("stage", HTMLElement);
const toolbar = element("tools", HTMLElement);
const modes = [...toolbar.querySelectorAll<HTMLInputElement>("input[name=mode]")];
const brush = element("brush", HTMLInputElement);
const undo = element("undo", HTMLButtonElement);
const redo = element("redo", HTMLButtonElement);
const clear = element("clear", HTMLButtonElement);

export class Tools {
  private tool: Tool = { mode: "add", isBrush: false };

  constructor(private readonly events: ToolEvents) {
    for (const input of [...modes, brush]) input.addEventListener("change", () => this.read());
    undo.addEventListener("click", () => events.onUndo());
    redo.addEventListener("click", () => events.onRedo());
    clear.addEventListener("click", () => events.onClear());
    stage.addEventListener("keydown", (event) => this.keyDown(event));
    // A browser that comes back to the page may have kept what was chosen.
    this.reset();
  }

  /** Whether there are tools: a bundle without a guided look has none. */
  show(isShown: boolean): void {
    toolbar.hidden = !isShown;
    if (!isShown) this.reset();
  }

  /** What a thing begins with: gestures that add. */
  reset(): void {
    this.choose("add");
    brush.checked = false;
    this.read();
  }

  setPossible(canUndo: boolean, canRedo: boolean, canClear: boolean): void {
    for (const [button, isPossible] of [
      [undo, canUndo],
      [redo, canRedo],
      [clear, canClear],
    ] as const) {
      // A button that is disabled would lose the focus.
      button.setAttribute("aria-disabled", String(!isPossible));
    }
  }

  private read(): void {
    const mode = (modes.find(({ checked }) => checked)?.value ?? "add") as Mode;
    // A box is drawn anyway.
    brush.disabled = mode === "box";
    this.tool = { mode, isBrush: brush.checked && mode !== "box" };
    this.events.onTool(this.tool);
  }

  private choose(mode: Mode): void {
    for (const input of modes) input.checked = input.value === mode;
  }

  private keyDown(event: KeyboardEvent): void {
    if (toolbar.hidden || event.altKey) return;
    const act = this.actOf(event);
    if (act === null) return;
    event.preventDefault();
    act();
  }

  private actOf({ key, ctrlKey, metaKey, shiftKey }: KeyboardEvent): (() => void) | null {
    const letter = key.toLowerCase();
    if (ctrlKey || metaKey) {
      if (letter === "z") return () => (shiftKey ? redo : undo).click();
      return letter === "y" ? () => redo.click() : null;
    }
    const choose = (mode: Mode) => () => {
      this.choose(mode);
      this.read();
    };
    switch (letter) {
      case "a":
        return choose("add");
      case "r":
        return choose("remove");
      case "b":
        return choose("box");
      case "d":
        return () => brush.click();
      case "z":
        return () => undo.click();
      case "y":
        return () => redo.click();
      case "n":
        return () => clear.click();
      default:
        return null;
    }
  }
}
