/** The buttons that save a clip: with progress, and a way to cancel. */

import { CutoutMaker } from "../cutout.ts";
import type { CutoutStyle } from "../cutoutStyle.ts";
import { element } from "../dom.ts";
import { download } from "../exporting.ts";
import { hideProgress, showProgress } from "../loading.ts";
import { clearError, setStatus, setTicking } from "../notices.ts";
import type { Things } from "../scene.ts";
import { cutoutVideo, maskFiles, type Material } from "./saving.ts";
import type { Clip } from "./source.ts";
import { encodableCodec, type Codec } from "./webm.ts";

export interface SaverSurroundings {
  readonly style: () => CutoutStyle;
  /** The masks of all things in a frame. */
  readonly things: (number: number) => Promise<Things>;
  /** Why nothing can be saved now; null if it can. */
  readonly whyNot: () => string | null;
  readonly onFailure: (error: unknown) => void;
}

const photoActions = element("photo-actions", HTMLElement);
const clipActions = element("clip-actions", HTMLElement);
const note = element("clip-note", HTMLElement);
const videoButton = element("save-video", HTMLButtonElement);
const masksButton = element("save-masks", HTMLButtonElement);
const cancelButton = element("cancel-save", HTMLButtonElement);

export class ClipSaver {
  private readonly maker = new CutoutMaker();
  private readonly listening = new AbortController();
  /** Ends what is being saved. */
  private saving: AbortController | null = null;

  constructor(
    private readonly clip: Clip,
    private readonly around: SaverSurroundings,
  ) {
    const { signal } = this.listening;
    const listen = (button: HTMLButtonElement, act: () => void): void =>
      button.addEventListener("click", act, { signal });
    listen(masksButton, () => {
      void this.save(`${clip.name}-masks.zip`, maskFiles);
    });
    listen(cancelButton, () => this.saving?.abort());
    videoButton.hidden = true;
    void encodableCodec(clip.size).then((codec) => {
      if (signal.aborted) return;
      note.textContent = formatInWords(codec);
      if (codec === null) return;
      videoButton.hidden = false;
      listen(videoButton, () => {
        const style = this.around.style();
        const name = `${clip.name}-cutout.webm`;
        void this.save(name, (material) => cutoutVideo(material, style, codec));
      });
    });
    this.showSaving();
    photoActions.hidden = true;
    clipActions.hidden = false;
  }

  get isSaving(): boolean {
    return this.saving !== null;
  }

  close(): void {
    this.listening.abort();
    this.saving?.abort();
    this.maker.free();
    photoActions.hidden = false;
    clipActions.hidden = true;
    note.textContent = "";
  }

  private async save(name: string, make: (material: Material) => Promise<Blob>): Promise<void> {
    const why = this.around.whyNot();
    if (why !== null) return setStatus(why);
    const { clip, maker } = this;
    const saving = new AbortController();
    const { signal } = saving;
    this.saving = saving;
    this.showSaving();
    clearError();
    const onFrame = (done: number): void => {
      showProgress("Saving", done, clip.length);
      setTicking(`Saving: ${done} of ${clip.length} frames`);
    };
    try {
      const { things } = this.around;
      download(await make({ clip, maker, things, onFrame, signal }), name);
      setStatus("Saved.");
    } catch (error) {
      if (!this.listening.signal.aborted) setStatus("Nothing was saved.");
      if (!signal.aborted) this.around.onFailure(error);
    } finally {
      this.saving = null;
      hideProgress();
      this.showSaving();
    }
  }

  private showSaving(): void {
    const { isSaving } = this;
    for (const button of [videoButton, masksButton]) {
      button.setAttribute("aria-disabled", String(isSaving));
    }
    const hadFocus = document.activeElement === cancelButton;
    cancelButton.hidden = !isSaving;
    // Else the keyboard would start again at the top of the page.
    if (hadFocus && !isSaving) (videoButton.hidden ? masksButton : videoButton).focus();
  }
}

function formatInWords(codec: Codec | null): string {
  const masks = "Masks are PNGs in a ZIP.";
  if (codec === null) return `This browser encodes neither VP9 nor VP8 video. ${masks}`;
  const name = codec.toUpperCase();
  return (
    `The video is a WebM (${name}) without sound; with the background “None” it is ` +
    `transparent. ${masks}`
  );
}
