/** A clip in the page: the frame that is shown, its timeline, and tracking. */

import type { VideoSession } from "../../src/index.ts";
import type { CutoutStyle } from "../cutoutStyle.ts";
import { element } from "../dom.ts";
import { readyForTaps, type Editor } from "../editor.ts";
import { hideProgress, showProgress } from "../loading.ts";
import { clearError, setStatus, setTicking } from "../notices.ts";
import type { Picture } from "../photo.ts";
import type { Viewer } from "../viewer.ts";
import { ClipControls } from "./controls.ts";
import { ClipEdits } from "./edits.ts";
import { closeLoaded, factsOf, type LoadedClip } from "./load.ts";
import { Player } from "./player.ts";
import { ClipSaver } from "./saver.ts";
import type { Clip } from "./source.ts";
import { ThingChooser } from "./things.ts";
import { framesToCarry, Knowledge } from "./timeline.ts";

/** What a clip is shown on. */
export interface ClipSurroundings {
  readonly viewer: Viewer;
  readonly editor: Editor;
  readonly style: () => CutoutStyle;
  readonly onFailure: (error: unknown) => void;
}

/** While tracking, the viewer follows so often, in ms. */
const FOLLOW_MS = 300;

export class ClipView {
  private readonly controls: ClipControls;
  private readonly chooser: ThingChooser;
  private readonly player: Player;
  private readonly edits: ClipEdits;
  private readonly saver: ClipSaver;
  private readonly known: Knowledge;
  private picture: Picture | null = null;
  /** The frame that is to be shown. */
  private number = 0;
  /** Whether it is not shown yet, as it is to be. */
  private isDue = false;
  /** The frame that is shown. */
  private shown = 0;
  /** Counts the gestures that made the frame stay that was shown. */
  private stays = 0;
  private showing: Promise<void> | null = null;
  private isClosed = false;
  /** Ends the tracking that goes on. */
  private tracking: AbortController | null = null;
  /** Whether the viewer follows it: until the user goes elsewhere. */
  private isFollowing = false;
  /** The frames on which gestures have changed since all was tracked. */
  private readonly changed = new Set<number>();

  /** The page's controls are this clip's from now on. */
  constructor(
    private readonly loaded: LoadedClip,
    private readonly around: ClipSurroundings,
  ) {
    const { clip, video } = loaded;
    this.known = new Knowledge(clip.length);
    this.edits = new ClipEdits(video, (number) => this.edited(number));
    this.controls = new ClipControls(clip.times, {
      onGo: (number) => this.userGoes(number),
      onPlay: () => this.togglePlaying(),
      onTrack: () => void this.track(),
    });
    this.chooser = new ThingChooser(
      () => this.known.count,
      () => this.chosen(),
    );
    this.player = new Player(clip.times, {
      go: (number) => this.go(number),
      onPlaying: (isPlaying) => this.controls.showPlaying(isPlaying),
    });
    this.saver = new ClipSaver(clip, {
      style: around.style,
      things: (number) => this.edits.things(number),
      whyNot: () => this.whyNotSaved(),
      onFailure: around.onFailure,
    });
    const facts = factsOf(clip);
    element("clip-facts", HTMLElement).textContent = facts;
    element("clip-section", HTMLElement).hidden = facts === "";
  }

  private get clip(): Clip {
    return this.loaded.clip;
  }

  private get video(): VideoSession {
    return this.loaded.video;
  }

  /** Of a frame. */
  get size(): Clip["size"] {
    return this.clip.size;
  }

  /** Show the first frame. */
  async show(): Promise<void> {
    this.controls.showPlaying(false);
    this.drawTimeline();
    await this.go(0);
    if (this.picture !== null) setStatus(readyForTaps(this.picture));
  }

  /** Why no gesture can be made now; null if one can. One that can stops what is playing. */
  whyNot(): string | null {
    if (this.tracking !== null) return "Tracking goes on: cancel it, or wait until it is done.";
    if (this.saver.isSaving) return "The clip is being saved: cancel that, or wait.";
    this.player.pause();
    if (this.number !== this.shown) this.stay();
    return null;
  }

  /** Give back the memory of frames that are not on the screen. */
  free(): void {
    this.clip.free();
  }

  close(): void {
    this.isClosed = true;
    this.player.pause();
    this.tracking?.abort();
    this.saver.close();
    element("clip-section", HTMLElement).hidden = true;
    this.controls.close();
    this.chooser.close();
    closeLoaded(this.loaded);
    this.picture?.preview.close();
  }

  private userGoes(number: number): void {
    this.player.pause();
    this.isFollowing = false;
    void this.go(number);
  }

  /** Gestures are about the frame that is shown, not about one that is on its way. */
  private stay(): void {
    this.stays++;
    this.isDue = false;
    this.number = this.shown;
    this.controls.showFrame(this.shown);
  }

  private togglePlaying(): void {
    if (this.tracking === null) void this.player.toggle(this.number);
  }

  /** Show a frame; of several at once the last. */
  private go(number: number): Promise<void> {
    this.number = number;
    this.isDue = true;
    this.controls.showFrame(number);
    this.showing ??= this.showDue().finally(() => {
      this.showing = null;
    });
    return this.showing;
  }

  private async showDue(): Promise<void> {
    const { viewer, editor, onFailure } = this.around;
    while (this.isDue && !this.isClosed) {
      this.isDue = false;
      const { number, stays } = this;
      const { thing } = this.chooser;
      try {
        const state = await this.edits.state(number, thing);
        const preview = await this.clip.frame(number);
        if (this.isClosed) return preview.close();
        if (stays !== this.stays) {
          preview.close();
          continue;
        }
        this.shown = number;
        const before = this.picture;
        this.picture = { ...this.size, preview, noun: "frame" };
        if (before === null) viewer.show(this.picture);
        else viewer.replace(this.picture);
        editor.use(this.edits.on(number, thing));
        editor.show(this.picture, state);
        before?.preview.close();
      } catch (error) {
        this.player.pause();
        if (!this.isClosed) onFailure(error);
      }
    }
  }

  private chosen(): void {
    this.drawTimeline();
    void this.go(this.number);
    setStatus(`Gestures are about thing ${this.chooser.thing + 1} now.`);
  }

  /** A frame's gestures have changed; of a thing without any nothing is known any more. */
  private async edited(number: number): Promise<void> {
    this.changed.add(number);
    await this.learn();
    // What is on its way was asked before.
    if (this.showing !== null) this.isDue = true;
    this.chooser.settle();
  }

  private async learn(): Promise<void> {
    this.known.replace(await this.video.states());
    this.drawTimeline();
  }

  /** Carry the things through the clip; or, while that goes on, end it. */
  private async track(): Promise<void> {
    if (this.tracking !== null) return this.tracking.abort();
    const why = this.whyNot();
    if (why !== null) return setStatus(why);
    const from = this.number;
    const tracking = new AbortController();
    this.tracking = tracking;
    this.isFollowing = true;
    this.drawTimeline();
    clearError();
    try {
      // The first tap may not be answered yet.
      await this.edits.answered();
      if (this.video.touched.length === 0) return setStatus("Tap a thing first.");
      await this.follow(tracking.signal);
      this.changed.clear();
      setStatus("Tracked: look through it, and correct any frame.");
    } catch (error) {
      if (tracking.signal.aborted) setStatus("Tracking was cancelled; what was tracked stays.");
      else if (!this.isClosed) this.around.onFailure(error);
    } finally {
      this.tracking = null;
      hideProgress();
      this.drawTimeline();
    }
    if (this.isClosed) return;
    await this.learn().catch(this.around.onFailure);
    if (this.isFollowing) await this.go(from);
  }

  private async follow(signal: AbortSignal): Promise<void> {
    const { length } = this.clip;
    const total = framesToCarry(this.changed, this.video.touched, length);
    let done = 0;
    let followed = 0;
    for await (const result of this.video.propagate({ signal })) {
      // With the first frame, what is carried anew is forgotten of all.
      if (done === 0) await this.learn();
      this.known.learn(result);
      this.drawTimeline();
      showProgress("Tracking", Math.min(++done, total), total);
      setTicking(`Tracking: frame ${result.number + 1} of ${length}`);
      if (!this.isFollowing || performance.now() - followed < FOLLOW_MS) continue;
      followed = performance.now();
      void this.go(result.number);
    }
    signal.throwIfAborted();
  }

  private whyNotSaved(): string | null {
    const why = this.whyNot();
    if (why !== null) return why;
    const { missing } = this.known;
    if (missing === 1) return "1 frame is not tracked yet: track first.";
    if (missing > 0) return `${missing} frames are not tracked yet: track first.`;
    return this.changed.size > 0 ? "What was changed is not tracked yet: track again first." : null;
  }

  private drawTimeline(): void {
    if (this.isClosed) return;
    const { touched } = this.video;
    const { length } = this.clip;
    this.controls.draw({ runs: this.known.runs(this.chooser.thing), touched });
    const isTracked = this.known.missing < length - touched.length;
    const label = this.changed.size > 0 && isTracked ? "Track again" : "Track";
    this.controls.showTrack(this.tracking === null ? label : "Cancel", touched.length > 0);
  }
}
