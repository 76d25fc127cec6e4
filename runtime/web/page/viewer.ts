/**
 * The canvases that show the photo, and over it the marks: zoom, pan, gestures, the crosshair of
 * the keyboard. The marks have a canvas of their own, so that a line that is drawn is seen at once.
 */

import type { Gesture, Size } from "../src/index.ts";
import { context2d } from "./dom.ts";
import type { Draft } from "./draft.ts";
import { Drafting, type Tool } from "./drafting.ts";
import { Gestures, type Gesture as Touch } from "./gestures.ts";
import { NO_MARKS, paintMarks, type Marks } from "./marks.ts";
import { paintScene, type Layers } from "./painting.ts";
import type { Picture } from "./photo.ts";
import * as view from "./viewport.ts";
import type { Point, Viewport } from "./viewport.ts";

export interface ViewerEvents {
  /** A gesture was made on the photo. */
  onGesture(gesture: Gesture): void;
  /** A tap missed the photo, or made no box. */
  onMiss(): void;
  /** The keyboard has begun a line or box; or it was given up. */
  onDraft(draft: Draft | null): void;
  /** The keyboard moved the crosshair to this pixel of the photo. */
  onCrosshair(pixel: Point): void;
}

/** How far the arrow keys move the crosshair, in CSS pixels, without and with the shift key. */
const STEP = 8;
const LARGE_STEP = 48;
const KEY_ZOOM = 1.4;
/**
 * Zoom per unit of a wheel's way; a trackpad's pinch comes as a wheel with the control key, in
 * small units.
 */
const WHEEL_ZOOM = 0.0015;
const PINCH_ZOOM = 0.01;
const LINE_HEIGHT = 16;

const ARROWS: Readonly<Record<string, Point>> = {
  ArrowLeft: { x: -1, y: 0 },
  ArrowRight: { x: 1, y: 0 },
  ArrowUp: { x: 0, y: -1 },
  ArrowDown: { x: 0, y: 1 },
};

export class Viewer {
  private photo: Picture | null = null;
  private layers: Layers = {};
  private marks: Pick<Marks, "made" | "pending"> = NO_MARKS;
  private size: Size = { height: 1, width: 1 };
  private viewport: Viewport = { scale: 1, x: 0, y: 0 };
  /** In photo pixels; null until the keyboard is used. */
  private crosshair: Point | null = null;
  private isSceneDue = false;
  private isPaintDue = false;
  private readonly gestures = new Gestures();
  private readonly drafting = new Drafting();

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly markCanvas: HTMLCanvasElement,
    private readonly events: ViewerEvents,
  ) {
    new ResizeObserver(() => this.resize()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.pointerDown(event));
    canvas.addEventListener("pointermove", (event) => {
      this.follow(this.gestures.move(event.pointerId, this.pointOf(event)));
    });
    canvas.addEventListener("pointerup", (event) => {
      this.follow(this.gestures.up(event.pointerId, this.pointOf(event)));
    });
    canvas.addEventListener("pointercancel", (event) => {
      this.follow(this.gestures.cancel(event.pointerId));
    });
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.keyDown(event));
    canvas.addEventListener("blur", () => {
      this.crosshair = null;
      this.repaintMarks();
    });
  }

  /** Show another picture, whole; or none. */
  show(photo: Picture | null): void {
    this.photo = photo;
    this.layers = {};
    this.marks = NO_MARKS;
    this.drafting.drop();
    this.crosshair = null;
    this.zoomToFit();
  }

  /** Show another picture of the same size in its place, such as the next frame, as far zoomed. */
  replace(picture: Picture): void {
    this.photo = picture;
    this.layers = {};
    this.marks = NO_MARKS;
    this.drafting.drop();
    this.repaint();
  }

  setTool(tool: Tool): void {
    this.dropDraft();
    this.drafting.tool = tool;
    this.gestures.draws = this.drafting.draws;
  }

  /** Show the gestures that made the mask, and those that are being answered. */
  setMarks(made: readonly Gesture[], pending: readonly Gesture[]): void {
    this.marks = { made, pending };
    this.repaintMarks();
  }

  setLayers(layers: Layers): void {
    this.layers = layers;
    this.repaint();
  }

  private zoomToFit(): void {
    if (this.photo !== null) this.viewport = view.fit(this.photo, this.size);
    this.repaint();
  }

  private resize(): void {
    const before = this.size;
    const after = { height: this.canvas.clientHeight, width: this.canvas.clientWidth };
    // A viewer that cannot be seen for a while keeps its view.
    if (after.height === 0 || after.width === 0) return;
    this.size = after;
    if (this.photo !== null) {
      this.viewport = view.resized(this.viewport, this.photo, before, after);
    }
    // At once, for a canvas that changes its size is blank until it is painted.
    this.isSceneDue = true;
    this.paint();
  }

  private pointerDown(event: PointerEvent): void {
    if (event.pointerType === "mouse" && event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.dropDraft(); // one of the keyboard
    this.follow(this.gestures.down(event.pointerId, this.pointOf(event)));
    if (this.crosshair !== null) {
      this.crosshair = null;
      this.repaintMarks();
    }
  }

  private follow(touch: Touch | null): void {
    if (touch === null || this.photo === null) return;
    switch (touch.kind) {
      case "tap": {
        const pixel = view.pixelAt(this.viewport, this.photo, touch.at);
        this.make(pixel === null ? null : this.drafting.tap(pixel));
        break;
      }
      case "draw":
        this.drafting.draw(this.viewport, this.photo, touch.to);
        this.repaintMarks();
        break;
      case "drawn":
        this.make(this.drafting.end());
        break;
      case "undrawn":
        this.drafting.drop();
        this.repaintMarks();
        break;
      case "pinch":
        this.zoomBy(touch.factor, touch.about);
        this.panBy(touch.dx, touch.dy);
        break;
      case "pan":
        this.panBy(touch.dx, touch.dy);
    }
  }

  private make(gesture: Gesture | null): void {
    this.repaintMarks();
    if (gesture === null) this.events.onMiss();
    else this.events.onGesture(gesture);
  }

  private dropDraft(): void {
    if (!this.drafting.drop()) return;
    this.repaintMarks();
    this.events.onDraft(null);
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    const way = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE_HEIGHT : 1;
    const isSideways = !event.ctrlKey && Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (isSideways) {
      this.panBy(-event.deltaX * way, 0);
    } else {
      const rate = event.ctrlKey ? PINCH_ZOOM : WHEEL_ZOOM;
      this.zoomBy(Math.exp(-event.deltaY * way * rate), this.pointOf(event));
    }
  }

  private keyDown(event: KeyboardEvent): void {
    if (this.photo === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    if (arrow !== undefined) this.moveCrosshair(arrow, event.shiftKey ? LARGE_STEP : STEP);
    else if (event.key === "Enter" || event.key === " ") this.pressCrosshair();
    else if (event.key === "Escape" && this.drafting.draft !== null) this.dropDraft();
    else if (event.key === "+" || event.key === "=") this.zoomBy(KEY_ZOOM, this.keyPoint());
    else if (event.key === "-") this.zoomBy(1 / KEY_ZOOM, this.keyPoint());
    else if (event.key === "0") this.zoomToFit();
    else return;
    event.preventDefault();
  }

  private moveCrosshair(arrow: Point, step: number): void {
    if (this.photo === null) return;
    const before = this.keyPoint();
    const moved = { x: before.x + step * arrow.x, y: before.y + step * arrow.y };
    this.crosshair = clamped(view.toPhoto(this.viewport, moved), this.photo);
    const at = view.toScreen(this.viewport, this.crosshair);
    if (this.drafting.draft !== null) this.drafting.draw(this.viewport, this.photo, [at]);
    // Where it leaves the viewer, the photo comes after it.
    this.panBy(
      Math.min(0, this.size.width - LARGE_STEP - at.x) + Math.max(0, LARGE_STEP - at.x),
      Math.min(0, this.size.height - LARGE_STEP - at.y) + Math.max(0, LARGE_STEP - at.y),
    );
    this.events.onCrosshair(floored(this.crosshair));
  }

  /** Tap, or begin a line or box, or end it. */
  private pressCrosshair(): void {
    if (this.photo === null) return;
    this.crosshair ??= clamped(view.toPhoto(this.viewport, this.keyPoint()), this.photo);
    this.repaintMarks();
    if (this.drafting.draft !== null) {
      this.make(this.drafting.end());
    } else if (this.drafting.draws) {
      this.drafting.draw(this.viewport, this.photo, [this.keyPoint()]);
      this.events.onDraft(this.drafting.draft);
    } else {
      this.make(this.drafting.tap(floored(this.crosshair)));
    }
  }

  /** Where the keyboard acts on the screen: the crosshair, or the viewer's middle. */
  private keyPoint(): Point {
    if (this.crosshair !== null) return view.toScreen(this.viewport, this.crosshair);
    return { x: this.size.width / 2, y: this.size.height / 2 };
  }

  private zoomBy(factor: number, about: Point): void {
    if (this.photo === null) return;
    this.viewport = view.zoom(this.viewport, this.photo, this.size, factor, about);
    this.repaint();
  }

  private panBy(dx: number, dy: number): void {
    if (this.photo === null) return;
    this.viewport = view.pan(this.viewport, this.photo, this.size, dx, dy);
    this.repaint();
  }

  private pointOf(event: MouseEvent): Point {
    const bounds = this.canvas.getBoundingClientRect();
    return { x: event.clientX - bounds.left, y: event.clientY - bounds.top };
  }

  private repaint(): void {
    this.isSceneDue = true;
    this.repaintMarks();
  }

  private repaintMarks(): void {
    if (this.isPaintDue) return;
    this.isPaintDue = true;
    requestAnimationFrame(() => {
      this.isPaintDue = false;
      this.paint();
    });
  }

  private paint(): void {
    const { photo, viewport, crosshair } = this;
    const { draft } = this.drafting;
    if (this.isSceneDue) {
      this.isSceneDue = false;
      const context = this.cleared(this.canvas);
      if (photo !== null) paintScene(context, photo, viewport, this.layers);
    }
    const context = this.cleared(this.markCanvas);
    if (photo === null) return;
    // A composition is looked at as it will be saved.
    const marks = this.layers.composition ? { ...this.marks, made: [] } : this.marks;
    paintMarks(context, viewport, { ...marks, draft, crosshair });
  }

  /** The context of an empty canvas, in CSS pixels. */
  private cleared(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
    const ratio = window.devicePixelRatio;
    const width = Math.round(this.size.width * ratio);
    const height = Math.round(this.size.height * ratio);
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const context = context2d(canvas);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.size.width, this.size.height);
    return context;
  }
}

function clamped(point: Point, photo: Size): Point {
  return {
    x: Math.min(Math.max(point.x, 0), photo.width - 1),
    y: Math.min(Math.max(point.y, 0), photo.height - 1),
  };
}

function floored(point: Point): Point {
  return { x: Math.floor(point.x), y: Math.floor(point.y) };
}
