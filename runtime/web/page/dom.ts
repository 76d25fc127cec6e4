/** Elements of the page, which index.html holds. */

/** @throws Error if the page has no such element, which is a mistake in index.html */
export function element<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (found instanceof type) return found;
  throw new Error(`The page has no ${type.name} with the id ${id}.`);
}

/** A new element with properties set, such as className and textContent, and children. */
export function create<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** The 2D context of a canvas. @throws Error when the browser refuses, as it does without memory */
export function context2d(canvas: HTMLCanvasElement): CanvasRenderingContext2D;
export function context2d(canvas: OffscreenCanvas): OffscreenCanvasRenderingContext2D;
export function context2d(
  canvas: HTMLCanvasElement | OffscreenCanvas,
): CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D {
  const context = (canvas as HTMLCanvasElement).getContext("2d");
  if (context === null) throw new RangeError("The browser refused the memory for a picture.");
  return context;
}
