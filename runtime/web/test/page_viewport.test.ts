import { describe, expect, it } from "vitest";
import { fit, pan, pixelAt, resized, toPhoto, toScreen, zoom } from "../page/viewport.ts";

const photo = { height: 300, width: 450 };
const viewer = { height: 400, width: 360 };

describe("viewport", () => {
  it("fits the whole photo in the middle", () => {
    expect(fit(photo, viewer)).toEqual({ scale: 0.8, x: 0, y: 80 });
  });

  it("goes from the screen to the photo and back", () => {
    const zoomed = zoom(fit(photo, viewer), photo, viewer, 3.7, { x: 100, y: 222 });
    for (const point of [
      { x: 0, y: 0 },
      { x: 359.5, y: 17.25 },
      { x: -40, y: 700 },
    ]) {
      const back = toScreen(zoomed, toPhoto(zoomed, point));
      expect(back.x).toBeCloseTo(point.x, 9);
      expect(back.y).toBeCloseTo(point.y, 9);
    }
  });

  it("finds the pixel under a tap, and none beside the photo", () => {
    const fitted = fit(photo, viewer);
    expect(pixelAt(fitted, photo, { x: 0, y: 80 })).toEqual({ x: 0, y: 0 });
    expect(pixelAt(fitted, photo, { x: 359.9, y: 319.9 })).toEqual({ x: 449, y: 299 });
    expect(pixelAt(fitted, photo, { x: 100, y: 79 })).toBeNull();
    expect(pixelAt(fitted, photo, { x: 360, y: 200 })).toBeNull();
  });

  it("zooms about a point that stays where it is", () => {
    const before = zoom(fit(photo, viewer), photo, viewer, 4, { x: 180, y: 200 });
    const about = { x: 150, y: 210 };
    const after = zoom(before, photo, viewer, 1.5, about);
    expect(after.scale).toBeCloseTo(1.5 * before.scale, 9);
    expect(toPhoto(after, about).x).toBeCloseTo(toPhoto(before, about).x, 9);
    expect(toPhoto(after, about).y).toBeCloseTo(toPhoto(before, about).y, 9);
  });

  it("zooms out to the whole photo and in to a limit", () => {
    const fitted = fit(photo, viewer);
    expect(zoom(fitted, photo, viewer, 0.1, { x: 10, y: 10 })).toEqual(fitted);
    expect(zoom(fitted, photo, viewer, 1e6, { x: 10, y: 200 }).scale).toBe(8);
  });

  it("pans no further than the photo's sides", () => {
    const zoomed = zoom(fit(photo, viewer), photo, viewer, 4, { x: 180, y: 200 });
    expect(pan(zoomed, photo, viewer, 1e5, 1e5)).toMatchObject({ x: 0, y: 0 });
    const far = pan(zoomed, photo, viewer, -1e5, -1e5);
    expect(toScreen(far, { x: 450, y: 300 })).toEqual({ x: 360, y: 400 });
  });

  it("keeps the zoom and the middle when the viewer turns", () => {
    const turned = { height: 360, width: 400 };
    expect(resized(fit(photo, viewer), photo, viewer, turned)).toEqual(fit(photo, turned));
    const zoomed = zoom(fit(photo, viewer), photo, viewer, 4, { x: 180, y: 200 });
    const after = resized(zoomed, photo, viewer, turned);
    const middle = toPhoto(after, { x: 200, y: 180 });
    expect(middle.x).toBeCloseTo(toPhoto(zoomed, { x: 180, y: 200 }).x, 9);
    expect(middle.y).toBeCloseTo(toPhoto(zoomed, { x: 180, y: 200 }).y, 9);
  });
});
