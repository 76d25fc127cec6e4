/**
 * Draws what the viewer shows under the marks: the photo or its composition, the mask, the windows.
 */

import type { Picture } from "./photo.ts";
import type { RegionGroup } from "./regions.ts";
import { toScreen, type Viewport } from "./viewport.ts";

export interface Layers {
  /** Shown instead of the photo, with its proportions. */
  readonly composition?: OffscreenCanvas | null;
  /** Lies over the photo, with its proportions. */
  readonly overlay?: OffscreenCanvas | null;
  readonly regions?: readonly RegionGroup[];
}

const DARK = "rgb(8 20 32 / 85%)";
const DASH = [7, 5];

/** @param context in CSS pixels of the viewer */
export function paintScene(
  context: CanvasRenderingContext2D,
  photo: Picture,
  viewport: Viewport,
  layers: Layers,
): void {
  const { x, y, scale } = viewport;
  const width = scale * photo.width;
  const height = scale * photo.height;
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(layers.composition ?? photo.preview, x, y, width, height);
  if (layers.overlay) context.drawImage(layers.overlay, x, y, width, height);
  for (const group of layers.regions ?? []) paintRegions(context, viewport, group);
}

/** The windows of one program: of a first look dashed, of a closer look solid. */
function paintRegions(
  context: CanvasRenderingContext2D,
  viewport: Viewport,
  group: RegionGroup,
): void {
  context.save();
  for (const [x0, y0, x1, y1] of group.boxes) {
    const from = toScreen(viewport, { x: x0, y: y0 });
    const to = toScreen(viewport, { x: x1, y: y1 });
    // Inside the window, so that one at the photo's border is seen whole.
    const box = [from.x + 1.5, from.y + 1.5, to.x - from.x - 3, to.y - from.y - 3] as const;
    context.setLineDash([]);
    context.lineWidth = 4;
    context.strokeStyle = DARK;
    context.strokeRect(...box);
    context.setLineDash(group.look === 0 ? DASH : []);
    context.lineWidth = 2;
    context.strokeStyle = group.color;
    context.strokeRect(...box);
  }
  context.restore();
}
