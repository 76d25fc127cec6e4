/**
 * The page: wires the viewer, the segmenter and the panels.
 *
 * For the console and for tests, `window.tracenet` holds
 *   ready       a promise of the segmenter, once it is loaded (after a retry, too); never kept
 *               where the browser cannot run the page
 *   segmenter   the segmenter; null until then
 *   lastResult  the mask that is shown, as the last gesture, undo or redo gave it; null without one
 *   gestures    those that made it, oldest first
 *   offline     a promise: whether the page can be used offline from now on (see offline.ts)
 * and elements carry data-testid: file-input, camera-input, viewer, status, error, progress, info,
 * sample-NAME, candidate-LEVEL, mode-add|remove|box, brush, undo, redo, clear, regions,
 * background-none|blur|color|photo, background-color-input, background-file, feather, save, copy,
 * share, free-memory, and of clips frame, previous, play, next, clock, track, thing-NUMBER,
 * add-thing, clip-facts, save-video, save-masks, cancel-save, clip-note. ?schedule=NAME and
 * ?threads=N in the page's address choose what is loaded, for measurements.
 */

import type { Gesture, Size, TapResult, TapSegmenter } from "../src/index.ts";
import { FrameError, GestureError, PhotoError, TraceNetError } from "../src/index.ts";
import type { ClipView } from "./clip/index.ts";
import { StyleControls, type CutoutStyle } from "./cutoutStyle.ts";
import { element } from "./dom.ts";
import type { Draft } from "./draft.ts";
import type { Tool } from "./drafting.ts";
import { Editor, readyForTaps } from "./editor.ts";
import { Edits } from "./edits.ts";
import { Exporter } from "./exporting.ts";
import { showFacts, wireInfo } from "./info.ts";
import { loadSegmenter } from "./loading.ts";
import { clearError, hasFault, inWords, setStatus, showError, showFault } from "./notices.ts";
import { startOffline } from "./offline.ts";
import { isClip, listenForFiles } from "./opening.ts";
import { openPhoto, type OpenPhoto } from "./photo.ts";
import { Scene } from "./scene.ts";
import { missingFeatures } from "./support.ts";
import { Tools } from "./tools.ts";
import { Viewer } from "./viewer.ts";
import type { Point } from "./viewport.ts";
import { shareInWords, toolInWords } from "./words.ts";

interface ShownClip {
  readonly view: ClipView;
  /** Opens it anew. */
  readonly reopen: () => void;
}

interface Handle {
  segmenter: TapSegmenter | null;
  ready: Promise<TapSegmenter>;
  lastResult: TapResult | null;
  gestures: readonly Gesture[];
  offline: Promise<boolean>;
}

declare global {
  interface Window {
    tracenet: Handle;
  }
}

const OPENING = "Opening…";

/** A page that was out of sight for so long, in ms, gives its memory back. */
const HIDDEN_LIMIT = 120_000;

let edits: Edits | null = null;
/** What is open: a photo, a clip, or neither. */
let photo: OpenPhoto | null = null;
let clip: ShownClip | null = null;
let tool: Tool = { mode: "add", isBrush: false };
/** Counts the files that were handed over: of two at once, the later one is opened. */
let openings = 0;
/** While the last of them is not shown yet. */
let isOpening = false;

const scene = new Scene();
const viewer = new Viewer(
  element("viewer", HTMLCanvasElement),
  element("marks", HTMLCanvasElement),
  {
    onGesture: (gesture) => void editor.make(gesture),
    onMiss: () => {
      setStatus(tool.mode === "box" ? "Draw a box about the thing." : "Tap on the picture.");
    },
    onDraft: announceDraft,
    onCrosshair: announceCrosshair,
  },
);
const tools = new Tools({
  onTool: chooseTool,
  onUndo: () => void editor.undo(),
  onRedo: () => void editor.redo(),
  onClear: () => void editor.startOver(),
});
const styleControls = new StyleControls(() => editor.updatePreview());
const editor = new Editor(
  { viewer, scene, tools, style: () => styleControls.style, onFailure: showFailure },
  whyNoGesture,
);
const exporter = new Exporter(scene, () =>
  photo !== null && editor.result !== null
    ? { photo, result: editor.result, style: styleControls.style }
    : null,
);

window.tracenet = {
  segmenter: null,
  ready: new Promise(() => undefined),
  lastResult: null,
  gestures: [],
  offline: Promise.resolve(false),
};

/** Load the network, or load it again in place of one that died; the photo and its mask stay. */
async function load(): Promise<void> {
  window.tracenet.segmenter?.close();
  window.tracenet.segmenter = null;
  const history = edits?.history;
  edits = null;
  editor.use(null);
  window.tracenet.ready = loadSegmenter();
  const segmenter = await window.tracenet.ready;
  window.tracenet.segmenter = segmenter;
  edits = new Edits(segmenter, history);
  if (photo !== null) editor.use(edits.on(photo));
  showFacts(segmenter);
  element("tools-help", HTMLElement).hidden = !edits.isGuided;
  tools.show(edits.isGuided && (photo !== null || clip !== null));
  clip?.reopen();
  if (photo !== null) edits.open(photo).catch(showFailure);
  if (isOpening || clip !== null) return;
  setStatus(photo === null ? "Ready: open a photo or a clip." : readyForTaps(photo));
}

/** Say what failed. What fails for neither photo nor gesture may have ended the runtime. */
function showFailure(error: unknown): void {
  const isOfInput = [PhotoError, FrameError, GestureError].some((kind) => error instanceof kind);
  const mayHaveDied = error instanceof TraceNetError && !isOfInput;
  const loadAgain = (): void => {
    if (edits !== null) void load();
  };
  showError(inWords(error), mayHaveDied ? { label: "Load again", act: loadAgain } : undefined);
}

async function open(file: Blob | Promise<Blob>, name: string): Promise<void> {
  const opening = ++openings;
  isOpening = true;
  clearError();
  setStatus(OPENING);
  const isLatest = (): boolean => opening === openings;
  try {
    const blob = await file;
    await (isClip(blob, name) ? openClip(blob, name, isLatest) : openStill(blob, name, isLatest));
  } catch (error) {
    if (!isLatest()) return;
    const isAny = photo !== null || clip !== null;
    setStatus(isAny ? "What was open before still is." : "Nothing is open.");
    showFailure(error);
  } finally {
    if (isLatest()) isOpening = false;
  }
}

async function openStill(file: Blob, name: string, isLatest: () => boolean): Promise<void> {
  const opened = await openPhoto(file, name);
  try {
    if (!isLatest()) return;
    await edits?.open(opened);
    if (!isLatest()) return;
    leave();
    photo = opened;
    viewer.show(opened);
    enter(opened);
    editor.use(edits?.on(opened) ?? null);
    editor.show(opened);
    setStatus(edits === null ? whyNoTaps() : readyForTaps(opened));
  } finally {
    if (opened !== photo) opened.preview.close();
  }
}

/** What only clips need is fetched now. */
async function openClip(file: Blob, name: string, isLatest: () => boolean): Promise<void> {
  const segmenter = await window.tracenet.ready;
  const { ClipView, closeLoaded, loadClip } = await import("./clip/index.ts").catch(() => {
    throw new Error("What clips need could not be fetched; check the connection, then try again.");
  });
  const loaded = await loadClip(file, name, segmenter);
  if (!isLatest()) return closeLoaded(loaded);
  leave();
  const style = (): CutoutStyle => styleControls.style;
  const view = new ClipView(loaded, { viewer, editor, style, onFailure: showFailure });
  clip = { view, reopen: () => void open(file, name) };
  enter(view.size);
  await edits?.free();
  await view.show();
}

/** Close what is open. */
function leave(): void {
  editor.use(null);
  editor.show(null);
  viewer.show(null);
  photo?.preview.close();
  photo = null;
  clip?.view.close();
  clip = null;
  scene.free();
}

/** Show the tools for a photo or clip of this size. */
function enter({ height, width }: Size): void {
  styleControls.setPhotoSide(Math.max(height, width));
  element("welcome", HTMLElement).hidden = true;
  const panel = element("panel", HTMLElement);
  panel.classList.add("open");
  panel.classList.toggle("of-clip", clip !== null);
  tools.show(edits?.isGuided ?? false);
  tools.reset();
}

function whyNoGesture(): string | null {
  if (isOpening) return OPENING;
  if (clip !== null) return clip.view.whyNot();
  return edits === null || photo === null ? whyNoTaps() : null;
}

function whyNoTaps(): string {
  return hasFault() ? "The network is not loaded." : "The network is still loading.";
}

function chooseTool(chosen: Tool): void {
  const isOther = tool.mode !== chosen.mode || tool.isBrush !== chosen.isBrush;
  tool = chosen;
  viewer.setTool(chosen);
  if (isOther && (photo ?? clip) !== null) setStatus(toolInWords(chosen));
}

function announceDraft(draft: Draft | null): void {
  if (draft === null) return setStatus("Given up.");
  const what = draft.mode === "box" ? "A box" : "A line";
  setStatus(`${what} begins here: move, then press Enter.`);
}

function announceCrosshair({ x, y }: Point): void {
  const shown = photo ?? clip?.view.size;
  if (!shown) return;
  const across = shareInWords(x / shown.width);
  const down = shareInWords(y / shown.height);
  setStatus(`Crosshair at ${across} from the left, ${down} from the top`);
}

/** Give back all memory but what is on the screen. */
async function freeMemory(): Promise<void> {
  exporter.free();
  scene.free();
  clip?.view.free();
  await edits?.free();
}

function freeWhileHidden(): void {
  let timer = 0;
  let isFreed = false;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden) {
      timer = window.setTimeout(() => {
        isFreed = true;
        void freeMemory();
      }, HIDDEN_LIMIT);
    } else if (isFreed) {
      isFreed = false;
      if (photo !== null) void edits?.open(photo);
    }
  });
}

window.addEventListener("unhandledrejection", (event) => showFailure(event.reason));
listenForFiles((file, name) => void open(file, name));
element("regions", HTMLInputElement).addEventListener("change", () => editor.showLayers());
wireInfo(() => void freeMemory().then(() => setStatus("The memory is free; tap to go on.")));
freeWhileHidden();

const missing = missingFeatures();
if (missing.length > 0) {
  showFault(
    `This browser cannot run the page: it lacks ${missing.join(" and ")}. Use Chrome 111, ` +
      "Firefox 121, Safari 16.4, or a newer version.",
  );
} else {
  void load();
  window.tracenet.offline = startOffline(window.tracenet.ready);
}
