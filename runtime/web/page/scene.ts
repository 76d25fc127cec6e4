/**
 * Makes what the viewer shows of masks: them over the picture, or what they cut out on its
 * background.
 */

import { backdropSize, blurredBackdrop } from "./backdrop.ts";
import { compose, type Background } from "./compose.ts";
import type { CutoutStyle, StyleBackground } from "./cutoutStyle.ts";
import { context2d } from "./dom.ts";
import { maskOverlay, TINTS } from "./overlay.ts";
import type { Layers } from "./painting.ts";
import { within, type Picture } from "./photo.ts";

/**
 * The longer side of what is computed for the screen: finer than the masks, small enough to be
 * quick.
 */
const SCENE_SIDE = 800;

export type PreviewLayers = Pick<Layers, "composition" | "overlay">;

/** A mask that can be made at any size: 1 in the thing, row by row. */
export interface Masked {
  maskAt(height: number, width: number): Uint8Array;
}

/** The masks of things that are seen in one picture; null for one that is not. */
export type Things = readonly (Masked | null)[];

export class Scene {
  private backdropOf: {
    readonly picture: Picture;
    readonly things: Things;
    readonly blurred: ImageBitmap;
  } | null = null;

  layers(picture: Picture, things: Things, style: CutoutStyle): PreviewLayers {
    const size = within(picture, SCENE_SIDE);
    const feather = style.feather * Math.max(size.height, size.width);
    if (things.every((thing) => thing === null)) return {};
    if (style.background.kind !== "none") {
      const background = this.background(picture, things, style.background);
      const mask = unionOf(things, size.height, size.width);
      return { composition: compose(picture.preview, mask, size, feather, background) };
    }
    const overlays = things.flatMap((thing, i) => {
      const mask = thing?.maskAt(size.height, size.width);
      return mask ? [maskOverlay(mask, size, feather, TINTS[i % TINTS.length]!)] : [];
    });
    const [overlay = null, ...others] = overlays;
    for (const other of others) context2d(overlay!).drawImage(other, 0, 0);
    return { overlay };
  }

  /** The background for the screen: pictures in the size of previews. */
  background(picture: Picture, things: Things, chosen: StyleBackground): Background {
    if (chosen.kind === "photo") return { kind: "picture", picture: chosen.photo.preview };
    if (chosen.kind !== "blur") return chosen;
    const { backdropOf } = this;
    if (backdropOf?.picture === picture && isSame(backdropOf.things, things)) {
      return { kind: "picture", picture: backdropOf.blurred };
    }
    this.free();
    const { height, width } = backdropSize(picture.preview);
    const blurred = blurredBackdrop(picture.preview, unionOf(things, height, width));
    this.backdropOf = { picture, things, blurred };
    return { kind: "picture", picture: blurred };
  }

  free(): void {
    this.backdropOf?.blurred.close();
    this.backdropOf = null;
  }
}

/** The mask of all things together. */
export function unionOf(things: Things, height: number, width: number): Uint8Array {
  const masks = things.flatMap((thing) => (thing === null ? [] : [thing.maskAt(height, width)]));
  const union = new Uint8Array(height * width);
  for (const mask of masks) {
    for (let i = 0; i < mask.length; i++) if (mask[i] !== 0) union[i] = 1;
  }
  return union;
}

function isSame(one: Things, other: Things): boolean {
  return one.length === other.length && one.every((thing, i) => thing === other[i]);
}
