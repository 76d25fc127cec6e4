/** The dialog that tells what this page is and what it runs. */

import type { TapSegmenter } from "../src/index.ts";
import { fillFacts } from "./answer.ts";
import { element } from "./dom.ts";
import { bytesInWords } from "./words.ts";

const dialog = element("info", HTMLDialogElement);

/** @param onFree is called when the user asks for the memory back */
export function wireInfo(onFree: () => void): void {
  element("info-button", HTMLButtonElement).addEventListener("click", () => dialog.showModal());
  element("info-close", HTMLButtonElement).addEventListener("click", () => dialog.close());
  element("free-memory", HTMLButtonElement).addEventListener("click", () => {
    dialog.close();
    onFree();
  });
  dialog.addEventListener("click", (event) => {
    // A click on the dialog itself, not on what is in it, is one on the backdrop.
    if (event.target === dialog) dialog.close();
  });
}

export function showFacts({ bundle, engineReport }: TapSegmenter): void {
  const schedules = bundle.schedules.map(
    ({ name, canvas, exact }) =>
      `${name} (${canvas.width} × ${canvas.height}${exact ? ", exact" : ""})`,
  );
  fillFacts(element("facts", HTMLElement), [
    ["Network", bundle.name],
    ["Precision", bundle.precision],
    ["Size", bytesInWords(bundle.bytes)],
    ["Schedules", schedules.join(", ")],
    ["Strategy", bundle.strategy ?? "one look"],
    ["Engine", `${engineReport.engine} ${engineReport.version}`],
    ["Threads", threadsInWords(engineReport.threads, engineReport.crossOriginIsolated)],
    ["Bundle", bundle.identity.slice(0, 12)],
  ]);
  element("weights-licence", HTMLElement).textContent = `Licence of the weights: ${bundle.licence}`;
}

function threadsInWords(threads: number, isIsolated: boolean): string {
  return isIsolated ? String(threads) : `${threads} (more need a cross-origin isolated page)`;
}
