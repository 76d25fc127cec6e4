/** The worker that makes the files to save: decodes the photo again, whole, and composes it. */

import { maskOf, type Probability } from "../src/answer/result.ts";
import { compose, type Background } from "./compose.ts";
import { openWhole } from "./photo.ts";

export type ExportBackground =
  | Exclude<Background, { kind: "picture" }>
  | { readonly kind: "picture"; readonly picture: ImageBitmap | Blob };

export interface ExportRequest {
  readonly id: number;
  readonly photo: Blob;
  readonly mask: Probability;
  readonly feather: number;
  readonly background: ExportBackground;
  readonly type: "image/png" | "image/jpeg";
}

export type ExportReply =
  { readonly id: number; readonly file: Blob } | { readonly id: number; readonly error: string };

const JPEG_QUALITY = 0.92;

self.onmessage = async (event: MessageEvent<ExportRequest>): Promise<void> => {
  const request = event.data;
  let reply: ExportReply;
  try {
    reply = { id: request.id, file: await exportFile(request) };
  } catch (error) {
    reply = { id: request.id, error: error instanceof Error ? error.message : String(error) };
  }
  self.postMessage(reply);
};

async function exportFile(request: ExportRequest): Promise<Blob> {
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

async function withBitmap(background: ExportBackground): Promise<Background> {
  if (background.kind !== "picture") return background;
  const { picture } = background;
  return { kind: "picture", picture: picture instanceof Blob ? await openWhole(picture) : picture };
}
