/** The mask of the open photo: asks for what gestures make, and shows all that comes of it. */

import type { Gesture, TapResult } from "../src/index.ts";
import { answerInWords, showAnswer, showLegend, timeInWords } from "./answer.ts";
import { hideCandidates, showCandidates } from "./candidates.ts";
import type { CutoutStyle } from "./cutoutStyle.ts";
import { element } from "./dom.ts";
import type { Edits, State } from "./edits.ts";
import { clearError, setStatus } from "./notices.ts";
import type { OpenPhoto } from "./photo.ts";
import { groupRegions } from "./regions.ts";
import type { PreviewLayers, Scene } from "./scene.ts";
import type { Tools } from "./tools.ts";
import type { Viewer } from "./viewer.ts";

export const READY_FOR_TAPS = "Tap a thing in the photo.";

/** What the editor shows things on, and what it asks of the page. */
export interface Surroundings {
  readonly viewer: Viewer;
  readonly scene: Scene;
  readonly tools: Tools;
  readonly style: () => CutoutStyle;
  readonly onFailure: (error: unknown) => void;
}

const NOTHING: State = { result: null, gestures: [], canUndo: false, canRedo: false };

const regionsSwitch = element("regions", HTMLInputElement);

export class Editor {
  private edits: Edits | null = null;
  private photo: OpenPhoto | null = null;
  private state = NOTHING;
  /** Gestures that are not answered yet. */
  private pending: readonly Gesture[] = [];
  /** How much was asked on this photo that is not answered yet, gestures and all else. */
  private asked = 0;
  private preview: PreviewLayers = {};

  /** @param whyNot says why no gesture can be made now; null if one can */
  constructor(
    private readonly around: Surroundings,
    private readonly whyNot: () => string | null,
  ) {}

  /** The mask that is shown. */
  get result(): TapResult | null {
    return this.state.result;
  }

  /** Ask these from now on; null while there is nobody to ask. What is shown stays. */
  use(edits: Edits | null): void {
    this.edits = edits;
  }

  /** Begin with a photo that is open. */
  show(photo: OpenPhoto): void {
    this.photo = photo;
    this.pending = [];
    this.asked = 0;
    this.showState(NOTHING);
  }

  async make(gesture: Gesture): Promise<void> {
    if (!this.isReady()) return;
    const isFirst = this.state.result === null && this.pending.length === 0;
    if (isFirst && gesture.kind !== "box" && !gesture.positive) {
      setStatus("Nothing is marked yet: add something first.");
      return;
    }
    // Without a guided look only the last of several gestures is answered.
    const isGuided = this.edits?.isGuided ?? false;
    this.pending = isGuided ? [...this.pending, gesture] : [gesture];
    this.showMarks();
    const what = isFirst || !isGuided ? "Mask found" : "Corrected";
    await this.ask("Looking…", what, (edits, photo) => edits.make(photo, gesture, null), gesture);
  }

  async undo(): Promise<void> {
    if (!this.state.canUndo && this.asked === 0) setStatus("There is nothing to undo.");
    else await this.ask("Undoing…", "Undone", (edits, photo) => edits.undo(photo));
  }

  async redo(): Promise<void> {
    if (!this.state.canRedo && this.asked === 0) setStatus("There is nothing to redo.");
    else await this.ask("Redoing…", "Done again", (edits, photo) => edits.redo(photo));
  }

  /** Begin a new thing. */
  async startOver(): Promise<void> {
    const { result, canRedo } = this.state;
    if (result === null && !canRedo && this.asked === 0) setStatus(READY_FOR_TAPS);
    else await this.ask("Starting over…", "", (edits, photo) => edits.clear(photo));
  }

  /** Compute again what the viewer shows of the mask. */
  updatePreview(): void {
    const { photo } = this;
    const { result } = this.state;
    const { scene, style } = this.around;
    this.preview = photo === null || result === null ? {} : scene.layers(photo, result, style());
    this.showLayers();
  }

  showLayers(): void {
    const { result } = this.state;
    const regions = result !== null && regionsSwitch.checked ? groupRegions(result.regions) : [];
    showLegend(regions);
    this.around.viewer.setLayers({ ...this.preview, regions });
  }

  /** Whether gestures can be made now; says why not. */
  private isReady(): boolean {
    const reason = this.whyNot();
    if (reason !== null) setStatus(reason);
    return reason === null;
  }

  /**
   * Ask something of the photo that is open, and show what comes of it.
   *
   * @param what has happened then
   * @param gesture that is made, and thus computed
   */
  private async ask(
    doing: string,
    what: string,
    request: (edits: Edits, photo: OpenPhoto) => Promise<State | null>,
    gesture?: Gesture,
  ): Promise<void> {
    const { edits, photo } = this;
    if (!this.isReady() || edits === null || photo === null) return;
    setStatus(doing);
    this.asked++;
    this.showPossible();
    let next: State | null = null;
    try {
      next = await request(edits, photo);
    } catch (error) {
      // Of a network that is being loaded again, and of another photo, failures are no news.
      if (this.edits === edits && this.photo === photo) {
        setStatus("That was not answered.");
        this.around.onFailure(error);
      }
    }
    if (this.photo !== photo) return;
    this.asked--;
    this.pending = this.pending.filter((other) => other !== gesture);
    if (next === null) {
      this.showMarks();
      this.showPossible();
      return;
    }
    clearError();
    this.showState(next);
    // The thing is gone, and what took away from it adds to the next one.
    if (next.result === null && this.pending.length === 0) this.around.tools.reset();
    setStatus(next.result === null ? READY_FOR_TAPS : told(next.result, what, gesture));
  }

  private showState(next: State): void {
    this.state = next;
    const { result } = next;
    window.tracenet.lastResult = result;
    window.tracenet.gestures = next.gestures;
    element("result", HTMLElement).hidden = result === null;
    element("cutout", HTMLElement).hidden = result === null;
    if (result !== null) showAnswer(result);
    this.showChoice(next);
    this.updatePreview();
    this.showMarks();
    this.showPossible();
  }

  /** Of a first tap, there are other levels to choose from. */
  private showChoice({ result, gestures }: State): void {
    const { edits, photo } = this;
    const [first, ...others] = gestures;
    if (result === null || first?.kind !== "tap" || others.length > 0 || !edits || !photo) {
      hideCandidates();
      return;
    }
    showCandidates({
      photo,
      result,
      levels: window.tracenet.segmenter?.levels ?? [],
      ask: (level) => edits.candidate(photo, first.at, level),
      onChosen: (level) => {
        void this.ask("Looking…", "Mask found", (_, of) => edits.make(of, first, level), first);
      },
    });
  }

  private showMarks(): void {
    this.around.viewer.setMarks(this.state.gestures, this.pending);
  }

  private showPossible(): void {
    const { canUndo, canRedo, result } = this.state;
    const isBusy = this.asked > 0;
    this.around.tools.setPossible(
      canUndo || isBusy,
      canRedo,
      result !== null || canRedo || isBusy,
    );
  }
}

/** What came of it; of a gesture, how long it took. */
function told(result: TapResult, what: string, gesture: Gesture | undefined): string {
  const text = answerInWords(result, what);
  return gesture === undefined ? text : `${text}, ${timeInWords(result)}`;
}
