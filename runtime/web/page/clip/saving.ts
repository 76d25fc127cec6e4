/** Makes a clip's files, one frame after the other. */

import { backdropSize } from "../backdrop.ts";
import type { CutoutMaker } from "../cutout.ts";
import type { CutoutStyle, StyleBackground } from "../cutoutStyle.ts";
import type { FrameRequest } from "../cutoutWorker.ts";
import { unionOf, type Things } from "../scene.ts";
import { MaskZip } from "./maskZip.ts";
import type { Clip } from "./source.ts";
import { frameDuration } from "./times.ts";
import { WebM, type Codec } from "./webm.ts";

/** What a file is made of. */
export interface Material {
  readonly clip: Clip;
  readonly maker: CutoutMaker;
  /** The masks of all things in a frame. */
  readonly things: (number: number) => Promise<Things>;
  readonly onFrame: (done: number) => void;
  readonly signal: AbortSignal;
}

/** The things on their background; without one, with transparency. Rejects once aborted. */
export async function cutoutVideo(
  { clip, maker, things, onFrame, signal }: Material,
  style: CutoutStyle,
  codec: Codec,
): Promise<Blob> {
  const { size, times } = clip;
  const background = await ownBackground(style);
  const webm = await WebM.begin(codec, background.kind === "none");
  try {
    for (const [number, time] of times.entries()) {
      signal.throwIfAborted();
      const seen = await things(number);
      const frame = await clip.frame(number);
      const made = await maker.frame({
        ...size,
        frame,
        mask: unionOf(seen, size.height, size.width),
        feather: style.feather * Math.max(size.height, size.width),
        background: backgroundOf(frame, seen, background),
      });
      await webm.add(made, time, frameDuration(times, number));
      onFrame(number + 1);
    }
    signal.throwIfAborted();
    return await webm.end();
  } finally {
    await webm.cancel();
    if (background.kind === "picture") background.picture.close();
  }
}

/** Every thing's mask in every frame, as PNGs in a ZIP. Rejects once aborted. */
export async function maskFiles({
  clip,
  maker,
  things,
  onFrame,
  signal,
}: Material): Promise<Blob> {
  const { height, width } = clip.size;
  const zip = new MaskZip(clip.length);
  for (let number = 0; number < clip.length; number++) {
    for (const [thing, masked] of (await things(number)).entries()) {
      signal.throwIfAborted();
      if (masked === null) continue;
      const mask = masked.maskAt(height, width);
      await zip.add(thing, number, await maker.mask({ mask, height, width }));
    }
    onFrame(number + 1);
  }
  signal.throwIfAborted();
  return zip.end();
}

/** What all frames have behind the things. */
type ClipBackground = Exclude<StyleBackground, { kind: "photo" }> | PictureBackground;
type PictureBackground = Extract<FrameRequest["background"], { kind: "picture" }>;

/** The chosen background; of a photo a copy, for the user may choose another meanwhile. */
async function ownBackground({ background }: CutoutStyle): Promise<ClipBackground> {
  if (background.kind !== "photo") return background;
  return { kind: "picture", picture: await createImageBitmap(background.photo.preview) };
}

function backgroundOf(
  frame: ImageBitmap,
  seen: Things,
  background: ClipBackground,
): FrameRequest["background"] {
  if (background.kind !== "blur") return background;
  const { height, width } = backdropSize(frame);
  return { kind: "blur", mask: unionOf(seen, height, width) };
}
