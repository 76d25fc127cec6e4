/**
 * The page: wires the viewer, the segmenter and the panels.
 *
 * For the console and for tests, `window.tracenet` holds
 *   ready       a promise of the segmenter, once it is loaded (after a retry, too)
 *   segmenter   the segmenter; null until then
 *   lastResult  the answer to the last tap that was answered; null before
 *   offline     a promise: whether the page can be used offline from now on (see offline.ts)
 * and elements carry data-testid: file-input, camera-input, viewer, status, error, progress, info,
 * sample-NAME, candidate-LEVEL, regions, background-none|blur|color|photo, background-color-input,
 * background-file, feather, save, copy, share, free-memory. ?schedule=NAME and ?threads=N in the
 * page's address choose what is loaded, for measurements.
 */

import type { Segmenter, TapResult } from "../src/types.ts";
import { showAnswer, showLegend } from "./answer.ts";
import { element } from "./dom.ts";
import { Exporter } from "./exporting.ts";
import { showFacts, wireInfo } from "./info.ts";
import { loadSegmenter } from "./loading.ts";
import { LookControls } from "./look.ts";
import { clearError, inWords, setStatus, showError } from "./notices.ts";
import { startOffline } from "./offline.ts";
import { listenForPhotos } from "./opening.ts";
import { openPhoto, type OpenPhoto } from "./photo.ts";
import { groupRegions } from "./regions.ts";
import { Scene, type PreviewLayers } from "./scene.ts";
import { Session } from "./session.ts";
import { missingFeatures } from "./support.ts";
import { Viewer } from "./viewer.ts";
import type { Point } from "./viewport.ts";
import { millisecondsInWords, shareInWords, shareOfMask } from "./words.ts";

interface Handle {
  segmenter: Segmenter | null;
  ready: Promise<Segmenter>;
  lastResult: TapResult | null;
  offline: Promise<boolean>;
}

declare global {
  interface Window {
    tracenet: Handle;
  }
}

/** Side of the small mask from which the covered share is told. */
const STATUS_SIDE = 256;

/** A page that was out of sight for so long, in ms, gives its memory back. */
const HIDDEN_LIMIT = 120_000;

interface Answer {
  readonly tap: Point;
  readonly result: TapResult;
}

let session: Session | null = null;
let photo: OpenPhoto | null = null;
let answer: Answer | null = null;
let preview: PreviewLayers = {};
/** Counts the photos that were handed over: of two at once, the later one is opened. */
let openings = 0;

const scene = new Scene();
const regionsSwitch = element("regions", HTMLInputElement);
const viewer = new Viewer(element("viewer", HTMLCanvasElement), {
  onTap: (pixel) => void tap(pixel, null),
  onMiss: () => setStatus("Tap on the photo."),
  onCrosshair: announceCrosshair,
});
const lookControls = new LookControls(updatePreview);
const exporter = new Exporter(scene, () =>
  photo !== null && answer !== null
    ? { photo, result: answer.result, look: lookControls.look }
    : null,
);

async function open(file: Blob, name: string): Promise<void> {
  const opening = ++openings;
  clearError();
  setStatus("Opening the photo…");
  try {
    const opened = await openPhoto(file, name);
    if (opening !== openings) return;
    await session?.open(opened);
    if (opening === openings) showPhoto(opened);
  } catch (error) {
    if (opening !== openings) return;
    setStatus(photo === null ? "No photo is open." : "The photo before is still open.");
    showError(inWords(error));
  }
}

function showPhoto(opened: OpenPhoto): void {
  photo?.preview.close();
  photo = opened;
  answer = null;
  preview = {};
  scene.free();
  viewer.show(opened);
  showLegend([]);
  lookControls.setPhotoSide(Math.max(opened.height, opened.width));
  element("welcome", HTMLElement).hidden = true;
  element("panel", HTMLElement).classList.add("open");
  element("result", HTMLElement).hidden = true;
  element("cutout", HTMLElement).hidden = true;
  setStatus(session === null ? "The network is still loading." : "Tap a thing in the photo.");
}

async function tap(pixel: Point, level: string | null): Promise<void> {
  if (session === null || photo === null) {
    setStatus("The network is still loading.");
    return;
  }
  setStatus("Looking…");
  try {
    const result = await session.tap(photo, pixel, level);
    if (result === null) return;
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
    setStatus("The tap was not answered.");
    showError(inWords(error));
  }
}

/** Compute again what the viewer shows of the answer. */
function updatePreview(): void {
  if (photo === null || answer === null) return;
  preview = scene.layers(photo, answer.result, lookControls.look);
  showLayers();
}

function showLayers(): void {
  if (answer === null) return;
  const regions = regionsSwitch.checked ? groupRegions(answer.result.regions) : [];
  showLegend(regions);
  viewer.setLayers({ ...preview, regions, tap: answer.tap });
}

function answerInWords(result: TapResult): string {
  const covered = shareOfMask(result.maskAt(STATUS_SIDE, STATUS_SIDE));
  if (covered === 0) return "Nothing was found there; tap another place.";
  const time = millisecondsInWords(result.timingsMs["total"] ?? 0);
  return `Mask found: covers ${shareInWords(covered)} of the photo, ${time}`;
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
  await session?.free();
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
      if (photo !== null) void session?.open(photo);
    }
  });
}

async function start(ready: Promise<Segmenter>): Promise<void> {
  const segmenter = await ready;
  window.tracenet.segmenter = segmenter;
  session = new Session(segmenter);
  showFacts(segmenter);
  if (photo !== null) await session.open(photo);
  setStatus(photo === null ? "Ready: open a photo." : "Tap a thing in the photo.");
}

window.addEventListener("unhandledrejection", (event) => showError(inWords(event.reason)));
listenForPhotos((file, name) => void open(file, name), showError);
regionsSwitch.addEventListener("change", showLayers);
wireInfo(() => void freeMemory().then(() => setStatus("The memory is free; tap to go on.")));
freeWhileHidden();

const missing = missingFeatures();
if (missing.length > 0) {
  showError(
    `This browser cannot run the page: it lacks ${missing.join(" and ")}. Use a newer one, such ` +
      "as Chrome 91, Firefox 114 or Safari 16.4.",
  );
} else {
  const ready = loadSegmenter();
  window.tracenet = { segmenter: null, ready, lastResult: null, offline: startOffline(ready) };
  void start(ready);
}
