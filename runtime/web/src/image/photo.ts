/** Photos as pixels: RGB, 8 bits, upright. */

import { isAllocationFailure, OutOfMemory, PhotoError } from "../errors.ts";
import type { Size } from "../rectangles.ts";
import type { Pixels } from "./pixels.ts";

/** Everything that is a photo to a browser, or RGBA pixels. */
export type Photo = Blob | ImageBitmap | ImageData;

/** A frame of a clip. */
export type FramePicture = VideoFrame | ImageBitmap | ImageData;

/** The largest photo that is read: today's largest phone sensors have just under this. */
export const MAX_PIXELS = 200_000_000;

/** Pixels to a side of what is drawn at a time: browsers limit the area of a canvas. */
const PIECE = 2048;

/**
 * The pixels of a photo, over white where it is transparent.
 *
 * A file is turned upright as its EXIF orientation says (in XMP, which editors also write of photos
 * that they have turned, browsers do not look); its colour profile is not applied. An image bitmap
 * is closed. Throws a `PhotoError` when the photo cannot be decoded, has no pixels or
 * more than `MAX_PIXELS`, and `OutOfMemory`.
 */
export async function readPhoto(photo: Photo): Promise<Pixels> {
  try {
    if (photo instanceof ImageData) return overWhite(photo);
    return readPicture(photo instanceof Blob ? await decode(photo) : photo);
  } catch (error) {
    if (!isAllocationFailure(error)) throw error;
    throw new OutOfMemory("The browser has not enough memory for this photo; use a smaller photo.");
  }
}

/** The pixels of a frame as it is shown, over white where it is transparent; it is closed. */
export function readFrame(picture: FramePicture): Pixels {
  return picture instanceof ImageData ? overWhite(picture) : readPicture(picture);
}

function readPicture(picture: ImageBitmap | VideoFrame): Pixels {
  try {
    const size =
      "displayWidth" in picture
        ? { height: picture.displayHeight, width: picture.displayWidth }
        : picture;
    return drawn(picture, size);
  } finally {
    picture.close();
  }
}

async function decode(file: Blob): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(file, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
      premultiplyAlpha: "premultiply",
    });
  } catch (error) {
    if (isAllocationFailure(error)) throw error;
    throw new PhotoError(await whyUndecodable(file));
  }
}

/** By the first bytes of a format: where a file has its width and height, and how. */
const SIZES: readonly [string, number, (at: DataView, offset: number) => number[]][] = [
  ["\x89PNG\r\n\x1a\n", 16, (at, offset) => [at.getUint32(offset), at.getUint32(offset + 4)]],
  ["GIF8", 6, (at, offset) => [at.getUint16(offset, true), at.getUint16(offset + 2, true)]],
  ["BM", 18, (at, offset) => [at.getInt32(offset, true), at.getInt32(offset + 4, true)]],
];

/** What is wrong with a file that no picture was made of, as the Python runtime says it. */
export async function whyUndecodable(file: Blob): Promise<string> {
  const start = new Uint8Array(await file.slice(0, 32).arrayBuffer());
  if (start.length === 0) {
    return "The file is empty, as a file is whose copy was broken off; copy it again.";
  }
  const text = String.fromCharCode(...start);
  const [, offset, read] = SIZES.find(([first]) => text.startsWith(first)) ?? [];
  if (offset !== undefined && read !== undefined && start.length >= offset + 8) {
    const [width, height] = read(new DataView(start.buffer), offset);
    if (width === 0 || height === 0) {
      return `The photo has no pixels, it is ${width} x ${height}; choose another.`;
    }
  }
  return (
    "The file is not a picture that this browser can decode; convert it to JPEG or PNG, " +
    "or make it smaller if it is very large."
  );
}

function drawn(picture: ImageBitmap | VideoFrame, size: Size): Pixels {
  const pixels = emptyPixels(size);
  const { height, width, data } = pixels;
  const canvas = new OffscreenCanvas(Math.min(PIECE, width), Math.min(PIECE, height));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null) {
    throw new OutOfMemory("The browser has no memory to draw the photo; use a smaller photo.");
  }
  context.fillStyle = "white";
  for (let y0 = 0; y0 < height; y0 += PIECE) {
    for (let x0 = 0; x0 < width; x0 += PIECE) {
      const pieceWidth = Math.min(PIECE, width - x0);
      const pieceHeight = Math.min(PIECE, height - y0);
      context.fillRect(0, 0, pieceWidth, pieceHeight);
      context.drawImage(picture, -x0, -y0);
      const piece = context.getImageData(0, 0, pieceWidth, pieceHeight).data;
      for (let y = 0, from = 0; y < pieceHeight; y++) {
        let to = 3 * ((y0 + y) * width + x0);
        for (const end = to + 3 * pieceWidth; to < end; to += 3, from += 4) {
          data[to] = piece[from]!;
          data[to + 1] = piece[from + 1]!;
          data[to + 2] = piece[from + 2]!;
        }
      }
    }
  }
  return pixels;
}

/** RGBA pixels over white, rounded as Pillow's `alpha_composite` does. */
export function overWhite(image: Size & { readonly data: ArrayLike<number> }): Pixels {
  const pixels = emptyPixels(image);
  const { data } = pixels;
  for (let from = 0, to = 0; to < data.length; from += 4, to += 3) {
    const alpha = image.data[from + 3]!;
    for (let channel = 0; channel < 3; channel++) {
      const value = image.data[from + channel]! * alpha + 255 * (255 - alpha) + 128;
      data[to + channel] = (value + (value >> 8)) >> 8;
    }
  }
  return pixels;
}

function emptyPixels({ height, width }: Size): Pixels {
  if (height * width === 0) throw new PhotoError("The photo has no pixels; choose another.");
  if (height * width > MAX_PIXELS) {
    throw new PhotoError(
      `The photo has ${width} x ${height} pixels, more than the ${MAX_PIXELS / 1e6} megapixels ` +
        "that are read; make it smaller.",
    );
  }
  return { height, width, data: new Uint8Array(3 * height * width) };
}
