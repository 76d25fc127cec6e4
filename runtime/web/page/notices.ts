/**
 * What the page tells its user: one line of status, faults that stand until they are mended, and
 * errors that stay until they are dismissed.
 */

import { create, element } from "./dom.ts";

const status = element("status", HTMLElement);
/** Only this is read out; the buttons beside it are found by those who look for them. */
const errorText = element("error-text", HTMLElement);
const errorActions = element("error-actions", HTMLElement);
const viewer = element("viewer", HTMLElement);

export function setStatus(text: string): void {
  status.ariaLive = "polite";
  status.textContent = text;
}

/** Of a text that changes all the time, in ms: so often it is read out. */
const SPOKEN_MS = 5000;
let spoken = -Infinity;

/** As `setStatus`, for texts of what goes on, which come too fast to be read out. */
export function setTicking(text: string): void {
  const now = performance.now();
  const isSpoken = now - spoken > SPOKEN_MS;
  if (isSpoken) spoken = now;
  status.ariaLive = isSpoken ? "polite" : "off";
  status.textContent = text;
}

/** Take a text back, unless another one has come. */
export function clearStatus(text: string): void {
  if (status.textContent === text) setStatus("");
}

export interface Remedy {
  readonly label: string;
  readonly act: () => void;
}

interface Notice {
  readonly text: string;
  readonly remedy: Remedy | undefined;
}

let error: Notice | null = null;
/** Errors cover its text for a while, never its remedy. */
let fault: Notice | null = null;

/** Show one error instead of the one before; the page goes on working behind it. */
export function showError(text: string, remedy?: Remedy): void {
  error = { text, remedy };
  showNotices();
}

export function clearError(): void {
  error = null;
  showNotices();
}

/** Show why the page cannot do its work, until `clearFault`. */
export function showFault(text: string, remedy?: Remedy): void {
  fault = { text, remedy };
  showNotices();
}

export function clearFault(): void {
  fault = null;
  showNotices();
}

export function hasFault(): boolean {
  return fault !== null;
}

/** One sentence for whatever was thrown. */
export function inWords(thrown: unknown): string {
  if (thrown instanceof RangeError) {
    const cause = thrown.message;
    return `The browser refused the memory: close other tabs or open a smaller photo. (${cause})`;
  }
  return thrown instanceof Error ? thrown.message : `Something failed: ${String(thrown)}`;
}

function showNotices(): void {
  const text = (error ?? fault)?.text ?? "";
  // A text that is set again would be read out again.
  if (errorText.textContent !== text) errorText.textContent = text;
  const buttons = [error, fault].flatMap((notice) =>
    notice?.remedy === undefined ? [] : [remedyButton(notice.remedy)],
  );
  if (error !== null) buttons.push(button("Dismiss", "button", clearError));
  const hadFocus = errorActions.contains(document.activeElement);
  errorActions.replaceChildren(...buttons);
  // Else the keyboard would start again at the top of the page.
  if (hadFocus) (buttons[0] ?? viewer).focus();
}

function remedyButton({ label, act }: Remedy): HTMLButtonElement {
  return button(label, "button primary", () => {
    clearError();
    act();
  });
}

function button(label: string, className: string, act: () => void): HTMLButtonElement {
  const made = create("button", { type: "button", className, textContent: label });
  made.addEventListener("click", act);
  return made;
}
