/**
 * Makes what the viewer shows of an answer: the mask over the photo, or the thing on its
 * background.
 */

import type { TapResult } from "../src/index.ts";
import { backdropSize, blurredBackdrop } from "./backdrop.ts";
import { compose, type Background } from "./compose.ts";
import type { CutoutStyle, StyleBackground } from "./cutoutStyle.ts";
import { maskOverlay } from "./overlay.ts";
import type { Layers } from "./painting.ts";
import { within, type OpenPhoto } from "./photo.ts";

/**
 * The longer side of what is computed for the screen: finer than the masks, small enough to be
 * quick.
 */
const SCENE_SIDE = 800;

export type PreviewLayers = Pick<Layers, "composition" | "overlay">;

export class Scene {
  private backdropOf: { readonly result: TapResult; readonly picture: ImageBitmap } | null = null;

  layers(photo: OpenPhoto, result: TapResult, style: CutoutStyle): PreviewLayers {
    const size = within(photo, SCENE_SIDE);
    const mask = result.maskAt(size.height, size.width);
    const feather = style.feather * Math.max(size.height, size.width);
    if (style.background.kind === "none") return { overlay: maskOverlay(mask, size, feather) };
    const background = this.background(photo, result, style.background);
    return { composition: compose(photo.preview, mask, size, feather, background) };
  }

  /** The background for the screen: pictures in the size of previews. */
  background(photo: OpenPhoto, result: TapResult, chosen: StyleBackground): Background {
    if (chosen.kind === "photo") return { kind: "picture", picture: chosen.photo.preview };
    if (chosen.kind !== "blur") return chosen;
    if (this.backdropOf?.result !== result) {
      this.free();
      const { height, width } = backdropSize(photo.preview);
      const picture = blurredBackdrop(photo.preview, result.maskAt(height, width));
      this.backdropOf = { result, picture };
    }
    return { kind: "picture", picture: this.backdropOf.picture };
  }

  free(): void {
    this.backdropOf?.picture.close();
    this.backdropOf = null;
  }
}
