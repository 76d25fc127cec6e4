/** The mask of the open picture: asks for what gestures make, and shows all that comes of it. */

import type { Gesture, TapResult } from "../src/index.ts";
import { answerInWords, showAnswer, showLegend, timeInWords } from "./answer.ts";
import { hideCandidates, showCandidates } from "./candidates.ts";
import type { CutoutStyle } from "./cutoutStyle.ts";
import { element } from "./dom.ts";
import { NO_STATE, type Editing, type State } from "./edits.ts";
import { clearError, clearStatus, setStatus } from "./notices.ts";
import type { Picture } from "./photo.ts";
import { groupRegions } from "./regions.ts";
import type { PreviewLayers, Scene } from "./scene.ts";
import type { Tools } from "./tools.ts";
import type { Viewer } from "./viewer.ts";

/** What to do with a picture in which nothing is marked. */
export function readyForTaps({ noun }: Picture): string {
  return `Tap a thing in the ${noun}.`;
}

/** What the editor shows things on, and what it asks of the page. */
export interface Surroundings {
  readonly viewer: Viewer;
  readonly scene: Scene;
  readonly tools: Tools;
  readonly style: () => CutoutStyle;
  readonly onFailure: (error: unknown) => void;
}

const regionsSwitch = element("regions", HTMLInputElement);

export class Editor {
  private editing: Editing | null = null;
  private picture: Picture | null = null;
  private state = NO_STATE;
  /** Gestures that are not answered yet. */
  private pending: readonly Gesture[] = [];
  /** How much was asked on this picture that is not answered yet, gestures and all else. */
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

  /** Ask this from now on; null while there is nobody to ask. What is shown stays. */
  use(editing: Editing | null): void {
    this.editing = editing;
  }

  /** Begin with a picture that is open, with what is known of it; or with none. */
  show(picture: Picture | null, state = NO_STATE): void {
    this.picture = picture;
    this.pending = [];
    this.asked = 0;
    this.showState(state);
  }

  async make(gesture: Gesture): Promise<void> {
    if (!this.isReady()) return;
    const isFirst = !this.state.isBegun && this.pending.length === 0;
    if (isFirst && gesture.kind !== "box" && !gesture.positive) {
      setStatus("Nothing is marked yet: add something first.");
      return;
    }
    // Without a guided look only the last of several gestures is answered.
    const isGuided = this.editing?.isGuided ?? false;
    this.pending = isGuided ? [...this.pending, gesture] : [gesture];
    this.showMarks();
    const what = isFirst || !isGuided ? "Mask found" : "Corrected";
    await this.ask("Looking…", what, (editing) => editing.make(gesture, null), gesture);
  }

  async undo(): Promise<void> {
    if (!this.state.canUndo && this.asked === 0) setStatus("There is nothing to undo.");
    else await this.ask("Undoing…", "Undone", (editing) => editing.undo());
  }

  async redo(): Promise<void> {
    if (!this.state.canRedo && this.asked === 0) setStatus("There is nothing to redo.");
    else await this.ask("Redoing…", "Done again", (editing) => editing.redo());
  }

  /** Begin a new thing. */
  async startOver(): Promise<void> {
    const { canClear } = this.state;
    const { picture } = this;
    const isEmpty = !canClear && this.asked === 0;
    if (isEmpty && picture !== null) setStatus(readyForTaps(picture));
    else await this.ask("Clearing…", "", (editing) => editing.clear());
  }

  /** Compute again what the viewer shows of the mask. */
  updatePreview(): void {
    const { picture } = this;
    const { things } = this.state;
    const { scene, style } = this.around;
    this.preview = picture === null ? {} : scene.layers(picture, things, style());
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
   * Ask something of the picture that is open, and show what comes of it.
   *
   * @param what has happened then
   * @param gesture that is made, and thus computed
   */
  private async ask(
    doing: string,
    what: string,
    request: (editing: Editing) => Promise<State | null>,
    gesture?: Gesture,
  ): Promise<void> {
    const { editing, picture } = this;
    if (!this.isReady() || editing === null || picture === null) return;
    setStatus(doing);
    this.asked++;
    this.showPossible();
    let next: State | null = null;
    try {
      next = await request(editing);
    } catch (error) {
      // Of a network that is being loaded again, and of another picture, failures are no news.
      if (this.editing === editing && this.picture === picture) {
        setStatus("That was not answered.");
        this.around.onFailure(error);
      }
    }
    if (this.picture !== picture) return clearStatus(doing);
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
    const { result } = next;
    setStatus(result === null ? readyForTaps(picture) : told(result, what, picture, gesture));
  }

  private showState(next: State): void {
    this.state = next;
    const { result } = next;
    window.tracenet.lastResult = result;
    window.tracenet.gestures = next.gestures;
    element("result", HTMLElement).hidden = result === null;
    element("cutout", HTMLElement).hidden = next.things.length === 0;
    if (result !== null) showAnswer(result);
    this.showChoice(next);
    this.updatePreview();
    this.showMarks();
    this.showPossible();
  }

  /** Of a first tap, there are other levels to choose from. */
  private showChoice({ result, gestures }: State): void {
    const { editing, picture } = this;
    const [first, ...others] = gestures;
    const isFirst = result !== null && first?.kind === "tap" && others.length === 0;
    if (!isFirst || editing === null || picture === null) {
      hideCandidates();
      return;
    }
    showCandidates({
      photo: picture,
      result,
      levels: window.tracenet.segmenter?.levels ?? [],
      ask: (level) => editing.candidate(first.at, level),
      onChosen: (level) => {
        void this.ask("Looking…", "Mask found", () => editing.make(first, level), first);
      },
    });
  }

  private showMarks(): void {
    this.around.viewer.setMarks(this.state.gestures, this.pending);
  }

  private showPossible(): void {
    const { canUndo, canRedo, canClear } = this.state;
    const isBusy = this.asked > 0;
    this.around.tools.setPossible(canUndo || isBusy, canRedo, canClear || isBusy);
  }
}

/** What came of it; of a gesture, how long it took. */
function told(
  result: TapResult,
  what: string,
  picture: Picture,
  gesture: Gesture | undefined,
): string {
  const text = answerInWords(result, what, picture);
  return gesture === undefined ? text : `${text}, ${timeInWords(result)}`;
}
