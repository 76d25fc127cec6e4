/** Pictures as the page holds them: of a photo its file, its size, and a preview for screens. */

import type { Size } from "../src/index.ts";
import { context2d } from "./dom.ts";

/** The preview's longer side at most, in pixels. */
const PREVIEW_SIDE = 2048;

/** What the viewer shows, and gestures are made on. */
export interface Picture extends Size {
  /** Of the same proportions. */
  readonly preview: ImageBitmap;
  /** What it is called. */
  readonly noun: "photo" | "frame";
}

export interface OpenPhoto extends Picture {
  readonly file: Blob;
  /** The file's name without its ending, for the names of exports. */
  readonly name: string;
}

export class NotAPicture extends Error {
  override readonly name = "NotAPicture";
}

/** @throws NotAPicture if the browser cannot decode the file as a picture */
export async function openPhoto(file: Blob, fileName: string): Promise<OpenPhoto> {
  const whole = await decode(file, fileName);
  const { height, width } = whole;
  let preview: ImageBitmap | null = null;
  try {
    preview = shrink(whole, PREVIEW_SIDE);
  } finally {
    if (preview !== whole) whole.close();
  }
  const name = withoutEnding(fileName);
  return { file, name, height, width, preview, noun: "photo" };
}

/** A file's name without its ending. */
export function withoutEnding(fileName: string): string {
  return fileName.replace(/\.[^.]*$/, "");
}

/** The size with the same proportions whose longer side is `side` at most. */
export function within(size: Size, side: number): Size {
  const scale = Math.min(1, side / Math.max(size.height, size.width));
  return {
    height: Math.max(1, Math.round(size.height * scale)),
    width: Math.max(1, Math.round(size.width * scale)),
  };
}

/** Every pixel of a picture, upright as by default; some browsers refuse to be told so. */
export function openWhole(file: Blob): Promise<ImageBitmap> {
  return createImageBitmap(file);
}

async function decode(file: Blob, fileName: string): Promise<ImageBitmap> {
  try {
    return await openWhole(file);
  } catch {
    throw new NotAPicture(
      `${fileName} is not a picture that this browser can open, or too large for it; choose a ` +
        "JPEG, PNG or WebP file.",
    );
  }
}

function shrink(bitmap: ImageBitmap, side: number): ImageBitmap {
  const { height, width } = within(bitmap, side);
  if (width === bitmap.width && height === bitmap.height) return bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = context2d(canvas);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return canvas.transferToImageBitmap();
}
