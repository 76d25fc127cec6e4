/** Putting a cut-out on a background; the same for the preview and, in a worker, for the export. */

import type { Size } from "../src/index.ts";
import { context2d } from "./dom.ts";
import { softRows } from "./feather.ts";

export type Background =
  | { readonly kind: "none" }
  | { readonly kind: "color"; readonly color: string }
  | { readonly kind: "picture"; readonly picture: ImageBitmap };

/** Rows that are done at once: enough to be quick, few enough to need little memory. */
const STRIP_ROWS = 256;

/**
 * The photo's thing with a soft edge, on a background, as large as the mask.
 * @param mask 1 in the thing, height * width
 * @param feather how far the soft edge reaches, in pixels of the mask
 * @throws RangeError when the browser refuses the memory
 */
export function compose(
  photo: ImageBitmap,
  mask: Uint8Array,
  { height, width }: Size,
  feather: number,
  background: Background,
): OffscreenCanvas {
  const canvas = new OffscreenCanvas(width, height);
  const context = context2d(canvas);
  context.imageSmoothingQuality = "high";
  paintBackground(context, { height, width }, background);
  for (let top = 0; top < height; top += STRIP_ROWS) {
    const bottom = Math.min(top + STRIP_ROWS, height);
    const alpha = softRows(mask, height, width, top, bottom, feather);
    const strip = alphaCanvas(alpha, bottom - top, width);
    const stripContext = context2d(strip);
    stripContext.globalCompositeOperation = "source-in";
    stripContext.drawImage(photo, 0, -top, width, height);
    context.drawImage(strip, 0, top);
  }
  return canvas;
}

/** Black, as opaque as `alpha` (0 to 1, row by row) says. */
function alphaCanvas(alpha: Float32Array, height: number, width: number): OffscreenCanvas {
  const canvas = new OffscreenCanvas(width, height);
  const pixels = new ImageData(width, height);
  for (let i = 0; i < alpha.length; i++) {
    pixels.data[4 * i + 3] = Math.round(255 * (alpha[i] as number));
  }
  context2d(canvas).putImageData(pixels, 0, 0);
  return canvas;
}

function paintBackground(
  context: OffscreenCanvasRenderingContext2D,
  { height, width }: Size,
  background: Background,
): void {
  if (background.kind === "color") {
    context.fillStyle = background.color;
    context.fillRect(0, 0, width, height);
  } else if (background.kind === "picture") {
    const { picture } = background;
    // The result is opaque, so that it may become a JPEG.
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    // As large as covers everything, in the middle.
    const scale = Math.max(width / picture.width, height / picture.height);
    const w = scale * picture.width;
    const h = scale * picture.height;
    context.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
  }
}
