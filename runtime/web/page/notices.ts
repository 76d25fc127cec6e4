/** What the page tells its user: one line of status, and errors that stay until dismissed. */

import { create, element } from "./dom.ts";

const status = element("status", HTMLElement);
const errors = element("error", HTMLElement);

export function setStatus(text: string): void {
  status.textContent = text;
}

export interface Remedy {
  readonly label: string;
  readonly act: () => void;
}

/** Show one error instead of the one before; the page goes on working behind it. */
export function showError(text: string, remedy?: Remedy): void {
  const dismiss = create("button", { type: "button", className: "button", textContent: "Dismiss" });
  dismiss.addEventListener("click", clearError);
  const buttons = [dismiss];
  if (remedy !== undefined) {
    const act = create("button", {
      type: "button",
      className: "button primary",
      textContent: remedy.label,
    });
    act.addEventListener("click", () => {
      clearError();
      remedy.act();
    });
    buttons.unshift(act);
  }
  errors.replaceChildren(
    create("p", {}, text),
    create("div", { className: "actions" }, ...buttons),
  );
}

export function clearError(): void {
  errors.replaceChildren();
}

/** One sentence for whatever was thrown. */
export function inWords(error: unknown): string {
  if (error instanceof RangeError) {
    const cause = error.message;
    return `The browser refused the memory: close other tabs or open a smaller photo. (${cause})`;
  }
  return error instanceof Error ? error.message : `Something failed: ${String(error)}`;
}
