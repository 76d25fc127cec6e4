/** The worker that makes what is saved: of a photo, which it decodes again whole, or of a frame. */

import { maskOf, type Probability } from "../src/answer/result.ts";
import type { Size } from "../src/index.ts";
import { blurredBackdrop } from "./backdrop.ts";
import { compose, type Background } from "./compose.ts";
import { context2d } from "./dom.ts";
import { openWhole } from "./photo.ts";

export type ExportBackground =
  | Exclude<Background, { kind: "picture" }>
  | { readonly kind: "picture"; readonly picture: ImageBitmap | Blob };

export interface PhotoRequest {
  readonly kind: "photo";
  readonly photo: Blob;
  readonly mask: Probability;
  readonly feather: number;
  readonly background: ExportBackground;
  readonly type: "image/png" | "image/jpeg";
}

export interface FrameRequest extends Size {
  readonly kind: "frame";
  readonly frame: ImageBitmap;
  /** 1 in the things, height * width. */
  readonly mask: Uint8Array;
  readonly feather: number;
  readonly background:
    | Background
    /** The frame's own, blurred; with the mask at the size of backdrops. */
    | { readonly kind: "blur"; readonly mask: Uint8Array };
}

export interface MaskRequest extends Size {
  readonly kind: "mask";
  /** 1 in the thing, height * width. */
  readonly mask: Uint8Array;
}

export type ExportRequest = PhotoRequest | FrameRequest | MaskRequest;

export type ExportReply =
  | { readonly id: number; readonly made: Blob | ImageBitmap }
  | { readonly id: number; readonly error: string };

const JPEG_QUALITY = 0.92;

self.onmessage = async (event: MessageEvent<ExportRequest & { id: number }>): Promise<void> => {
  const { id } = event.data;
  try {
    const made = await make(event.data);
    const transferred = made instanceof ImageBitmap ? [made] : [];
    self.postMessage({ id, made } satisfies ExportReply, { transfer: transferred });
  } catch (error) {
    const told = error instanceof Error ? error.message : String(error);
    self.postMessage({ id, error: told } satisfies ExportReply);
  }
};

function make(request: ExportRequest): Promise<Blob> | ImageBitmap {
  if (request.kind === "photo") return photoFile(request);
  return request.kind === "frame" ? composedFrame(request) : maskFile(request);
}

async function photoFile(request: PhotoRequest): Promise<Blob> {
  const photo = await openWhole(request.photo);
  const background = await withBitmap(request.background);
  try {
    const size = request.mask.photo;
    const mask = maskOf(request.mask, size);
    const canvas = compose(photo, mask, size, request.feather, background);
    return await canvas.convertToBlob({ type: request.type, quality: JPEG_QUALITY });
  } finally {
    photo.close();
    if (background.kind === "picture") background.picture.close();
  }
}

function composedFrame({ frame, mask, height, width, ...style }: FrameRequest): ImageBitmap {
  const background: Background =
    style.background.kind === "blur"
      ? { kind: "picture", picture: blurredBackdrop(frame, style.background.mask) }
      : style.background;
  try {
    const canvas = compose(frame, mask, { height, width }, style.feather, background);
    return canvas.transferToImageBitmap();
  } finally {
    frame.close();
    if (background.kind === "picture") background.picture.close();
  }
}

function maskFile({ mask, height, width }: MaskRequest): Promise<Blob> {
  const pixels = new ImageData(width, height);
  mask.forEach((inside, i) => {
    pixels.data.fill(255 * inside, 4 * i, 4 * i + 3);
    pixels.data[4 * i + 3] = 255;
  });
  const canvas = new OffscreenCanvas(width, height);
  context2d(canvas).putImageData(pixels, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

async function withBitmap(background: ExportBackground): Promise<Background> {
  if (background.kind !== "picture") return background;
  const { picture } = background;
  return { kind: "picture", picture: picture instanceof Blob ? await openWhole(picture) : picture };
}
