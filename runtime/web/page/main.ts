/**
 * The page: wires the viewer, the segmenter and the panels.
 *
 * For the console and for tests, `window.tracenet` holds
 *   ready       a promise of the segmenter, once it is loaded (after a retry, too); never kept
 *               where the browser cannot run the page
 *   segmenter   the segmenter; null until then
 *   lastResult  the answer to the last tap on this photo that was answered; null before
 *   offline     a promise: whether the page can be used offline from now on (see offline.ts)
 * and elements carry data-testid: file-input, camera-input, viewer, status, error, progress, info,
 * sample-NAME, candidate-LEVEL, regions, background-none|blur|color|photo, background-color-input,
 * background-file, feather, save, copy, share, free-memory. ?schedule=NAME and ?threads=N in the
 * page's address choose what is loaded, for measurements.
 */

import type { TapResult, TapSegmenter } from "../src/index.ts";
import { PhotoError, TapOutsidePhoto, TraceNetError } from "../src/index.ts";
import { answerInWords, showAnswer, showLegend } from "./answer.ts";
import { StyleControls } from "./cutoutStyle.ts";
import { element } from "./dom.ts";
import { Exporter } from "./exporting.ts";
import { showFacts, wireInfo } from "./info.ts";
import { loadSegmenter } from "./loading.ts";
import { clearError, hasFault, inWords, setStatus, showError, showFault } from "./notices.ts";
import { startOffline } from "./offline.ts";
import { listenForPhotos } from "./opening.ts";
import { openPhoto, type OpenPhoto } from "./photo.ts";
import { groupRegions } from "./regions.ts";
import { Scene, type PreviewLayers } from "./scene.ts";
import { missingFeatures } from "./support.ts";
import { TapQueue } from "./tapQueue.ts";
import { Viewer } from "./viewer.ts";
import type { Point } from "./viewport.ts";
import { shareInWords } from "./words.ts";

interface Handle {
  segmenter: TapSegmenter | null;
  ready: Promise<TapSegmenter>;
  lastResult: TapResult | null;
  offline: Promise<boolean>;
}

declare global {
  interface Window {
    tracenet: Handle;
  }
}

const READY_FOR_TAPS = "Tap a thing in the photo.";
const OPENING = "Opening the photo…";

/** A page that was out of sight for so long, in ms, gives its memory back. */
const HIDDEN_LIMIT = 120_000;

interface Answer {
  readonly tap: Point;
  readonly result: TapResult;
}

let taps: TapQueue | null = null;
let photo: OpenPhoto | null = null;
let answer: Answer | null = null;
let preview: PreviewLayers = {};
/** Counts the photos that were handed over: of two at once, the later one is opened. */
let openings = 0;
/** While the last of them is not shown yet. */
let isOpening = false;

const scene = new Scene();
const regionsSwitch = element("regions", HTMLInputElement);
const viewer = new Viewer(element("viewer", HTMLCanvasElement), {
  onTap: (pixel) => void tap(pixel, null),
  onMiss: () => setStatus("Tap on the photo."),
  onCrosshair: announceCrosshair,
});
const styleControls = new StyleControls(updatePreview);
const exporter = new Exporter(scene, () =>
  photo !== null && answer !== null
    ? { photo, result: answer.result, style: styleControls.style }
    : null,
);

window.tracenet = {
  segmenter: null,
  ready: new Promise(() => undefined),
  lastResult: null,
  offline: Promise.resolve(false),
};

/** Load the network, or load it again in place of one that died; the photo and its answer stay. */
async function load(): Promise<void> {
  window.tracenet.segmenter?.close();
  window.tracenet.segmenter = null;
  taps = null;
  window.tracenet.ready = loadSegmenter();
  const segmenter = await window.tracenet.ready;
  window.tracenet.segmenter = segmenter;
  taps = new TapQueue(segmenter);
  showFacts(segmenter);
  if (photo !== null) taps.open(photo).catch(showFailure);
  if (!isOpening) setStatus(photo === null ? "Ready: open a photo." : READY_FOR_TAPS);
}

/** Say what failed. What fails for neither the photo nor the tap may have ended the runtime. */
function showFailure(error: unknown): void {
  const isOfInput = error instanceof PhotoError || error instanceof TapOutsidePhoto;
  const mayHaveDied = error instanceof TraceNetError && !isOfInput;
  const loadAgain = (): void => {
    if (taps !== null) void load();
  };
  showError(inWords(error), mayHaveDied ? { label: "Load again", act: loadAgain } : undefined);
}

async function open(file: Blob | Promise<Blob>, name: string): Promise<void> {
  const opening = ++openings;
  isOpening = true;
  clearError();
  setStatus(OPENING);
  let opened: OpenPhoto | null = null;
  try {
    opened = await openPhoto(await file, name);
    if (opening !== openings) return;
    await taps?.open(opened);
    if (opening === openings) showPhoto(opened);
  } catch (error) {
    if (opening !== openings) return;
    setStatus(photo === null ? "No photo is open." : "The photo before is still open.");
    showFailure(error);
  } finally {
    if (opening === openings) isOpening = false;
    if (opened !== photo) opened?.preview.close();
  }
}

function showPhoto(opened: OpenPhoto): void {
  photo?.preview.close();
  photo = opened;
  answer = null;
  preview = {};
  window.tracenet.lastResult = null;
  scene.free();
  viewer.show(opened);
  showLegend([]);
  styleControls.setPhotoSide(Math.max(opened.height, opened.width));
  element("welcome", HTMLElement).hidden = true;
  element("panel", HTMLElement).classList.add("open");
  element("result", HTMLElement).hidden = true;
  element("cutout", HTMLElement).hidden = true;
  setStatus(taps === null ? whyNoTaps() : READY_FOR_TAPS);
}

function whyNoTaps(): string {
  return hasFault() ? "The network is not loaded." : "The network is still loading.";
}

async function tap(pixel: Point, level: string | null): Promise<void> {
  if (isOpening) {
    setStatus(OPENING);
    return;
  }
  if (taps === null || photo === null) {
    setStatus(whyNoTaps());
    return;
  }
  const tapped = photo;
  const asked = taps;
  setStatus("Looking…");
  try {
    const result = await asked.tap(tapped, pixel, level);
    if (result === null || photo !== tapped) return;
    clearError();
    answer = { tap: pixel, result };
    window.tracenet.lastResult = result;
    element("cutout", HTMLElement).hidden = false;
    showAnswer(result, window.tracenet.segmenter?.levels ?? [], (chosen) => {
      void tap(pixel, chosen);
    });
    updatePreview();
    setStatus(answerInWords(result));
  } catch (error) {
    // Of a network that is being loaded again, failures are no news.
    if (taps !== asked) return;
    setStatus("The tap was not answered.");
    showFailure(error);
  }
}

/** Compute again what the viewer shows of the answer. */
function updatePreview(): void {
  if (photo === null || answer === null) return;
  preview = scene.layers(photo, answer.result, styleControls.style);
  showLayers();
}

function showLayers(): void {
  if (answer === null) return;
  const regions = regionsSwitch.checked ? groupRegions(answer.result.regions) : [];
  showLegend(regions);
  viewer.setLayers({ ...preview, regions, tap: answer.tap });
}

function announceCrosshair({ x, y }: Point): void {
  if (photo === null) return;
  const across = shareInWords(x / photo.width);
  const down = shareInWords(y / photo.height);
  setStatus(`Crosshair at ${across} from the left, ${down} from the top`);
}

/** Give back all memory but what is on the screen. */
async function freeMemory(): Promise<void> {
  exporter.free();
  scene.free();
  await taps?.free();
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
      if (photo !== null) void taps?.open(photo);
    }
  });
}

window.addEventListener("unhandledrejection", (event) => showFailure(event.reason));
listenForPhotos((file, name) => void open(file, name));
regionsSwitch.addEventListener("change", showLayers);
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
