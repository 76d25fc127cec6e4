/**
 * The photo's background, blurred as by a wide lens: without the thing, which would leave a halo.
 */

import type { Size } from "../src/index.ts";
import { blur } from "./blur.ts";
import { context2d } from "./dom.ts";
import { within } from "./photo.ts";

/** A blur has no detail to lose, so it is computed on a small copy with this longer side. */
const BACKDROP_SIDE = 512;
/** How far the blur spreads a point, as a share of the longer side. */
const BLUR_REACH = 0.05;
/** Pixels with less background than this around them lie deep in the thing and are never seen. */
const LEAST_WEIGHT = 1e-4;

export function backdropSize(photo: Size): Size {
  return within(photo, BACKDROP_SIDE);
}

/** Over white where the photo is transparent. @param mask 1 in the thing, at its own size */
export function blurredBackdrop(preview: ImageBitmap, mask: Uint8Array): ImageBitmap {
  const { height, width } = backdropSize(preview);
  const canvas = new OffscreenCanvas(width, height);
  const context = context2d(canvas);
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(preview, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height);
  blurOutside(pixels.data, mask, height, width, BLUR_REACH * Math.max(height, width));
  context.putImageData(pixels, 0, 0);
  return canvas.transferToImageBitmap();
}

/**
 * Blur opaque RGBA pixels in place, each from the pixels outside the mask alone. Where there are
 * none near, as deep in the thing, the pixel stays.
 */
export function blurOutside(
  rgba: Uint8ClampedArray,
  mask: Uint8Array,
  height: number,
  width: number,
  radius: number,
): void {
  const weight = Float32Array.from(mask, (inside) => 1 - inside);
  const outside = weight.slice();
  blur(weight, height, width, radius);
  const plane = new Float32Array(height * width);
  for (let channel = 0; channel < 3; channel++) {
    for (let i = 0; i < plane.length; i++) {
      plane[i] = (rgba[4 * i + channel] as number) * (outside[i] as number);
    }
    blur(plane, height, width, radius);
    for (let i = 0; i < plane.length; i++) {
      const share = weight[i] as number;
      if (share > LEAST_WEIGHT) rgba[4 * i + channel] = (plane[i] as number) / share;
    }
  }
}
