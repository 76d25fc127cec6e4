/**
 * Where the photo lies on the screen: pure functions of a scale and an offset.
 *
 * A point of the screen is in CSS pixels from the viewer's top left corner, a point of the photo in
 * photo pixels from the photo's: screen = offset + scale * photo.
 */

import type { Size } from "../src/index.ts";

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Viewport {
  /** CSS pixels per photo pixel. */
  readonly scale: number;
  /** The photo's top left corner on the screen. */
  readonly x: number;
  readonly y: number;
}

/**
 * At the closest zoom a photo pixel is this many CSS pixels, or the photo fills the viewer so
 * often.
 */
const CLOSEST_PIXEL = 8;
const CLOSEST_FACTOR = 8;

/** The whole photo in the middle of the viewer, as large as fits. */
export function fit(photo: Size, viewer: Size): Viewport {
  const scale = Math.min(viewer.width / photo.width, viewer.height / photo.height);
  return {
    scale,
    x: (viewer.width - scale * photo.width) / 2,
    y: (viewer.height - scale * photo.height) / 2,
  };
}

export function toPhoto(viewport: Viewport, screen: Point): Point {
  return {
    x: (screen.x - viewport.x) / viewport.scale,
    y: (screen.y - viewport.y) / viewport.scale,
  };
}

export function toScreen(viewport: Viewport, photo: Point): Point {
  return { x: viewport.x + viewport.scale * photo.x, y: viewport.y + viewport.scale * photo.y };
}

/** The pixel of the photo under a point of the screen; null beside the photo. */
export function pixelAt(viewport: Viewport, photo: Size, screen: Point): Point | null {
  const point = toPhoto(viewport, screen);
  const x = Math.floor(point.x);
  const y = Math.floor(point.y);
  return x >= 0 && y >= 0 && x < photo.width && y < photo.height ? { x, y } : null;
}

/**
 * Move the photo, but no side of it further in than the viewer's, or the middle if it is smaller.
 */
export function pan(
  viewport: Viewport,
  photo: Size,
  viewer: Size,
  dx: number,
  dy: number,
): Viewport {
  return {
    scale: viewport.scale,
    x: held(viewport.x + dx, viewport.scale * photo.width, viewer.width),
    y: held(viewport.y + dy, viewport.scale * photo.height, viewer.height),
  };
}

/** Zoom by a factor about a point of the screen, which stays where it is as far as `pan` allows. */
export function zoom(
  viewport: Viewport,
  photo: Size,
  viewer: Size,
  factor: number,
  about: Point,
): Viewport {
  const farthest = fit(photo, viewer).scale;
  const closest = Math.max(CLOSEST_PIXEL, CLOSEST_FACTOR * farthest);
  const scale = Math.min(Math.max(viewport.scale * factor, farthest), closest);
  const applied = scale / viewport.scale;
  const zoomed = {
    scale,
    x: about.x - applied * (about.x - viewport.x),
    y: about.y - applied * (about.y - viewport.y),
  };
  return pan(zoomed, photo, viewer, 0, 0);
}

/** The viewport after the viewer's size changed: the same zoom about the same middle, or fitted. */
export function resized(viewport: Viewport, photo: Size, before: Size, after: Size): Viewport {
  const fitted = fit(photo, after);
  const factor = viewport.scale / fit(photo, before).scale;
  if (factor <= 1) return fitted;
  const middle = toPhoto(viewport, { x: before.width / 2, y: before.height / 2 });
  const scale = fitted.scale * factor;
  const moved = {
    scale,
    x: after.width / 2 - scale * middle.x,
    y: after.height / 2 - scale * middle.y,
  };
  return pan(moved, photo, after, 0, 0);
}

function held(offset: number, length: number, room: number): number {
  if (length <= room) return (room - length) / 2;
  return Math.min(Math.max(offset, room - length), 0);
}
