/** What the cut-out is to look like, and the controls that say so. */

import { element } from "./dom.ts";
import { listenToInput } from "./opening.ts";
import { openPhoto, type OpenPhoto } from "./photo.ts";
import { inWords, showError } from "./notices.ts";

export type StyleBackground =
  | { readonly kind: "none" }
  | { readonly kind: "blur" }
  | { readonly kind: "color"; readonly color: string }
  | { readonly kind: "photo"; readonly photo: OpenPhoto };

/** Replaced as a whole when anything in it changes. */
export interface CutoutStyle {
  readonly background: StyleBackground;
  /** How far the soft edge reaches, as a share of the photo's longer side. */
  readonly feather: number;
}

/** The slider counts in thousandths of the photo's longer side. */
const FEATHER_UNIT = 1 / 1000;

const featherSlider = element("feather", HTMLInputElement);
const featherValue = element("feather-value", HTMLOutputElement);
const colorInput = element("color-input", HTMLInputElement);
const backgroundFile = element("background-file", HTMLInputElement);
const radios = [...document.querySelectorAll<HTMLInputElement>("input[name=background]")];

export class StyleControls {
  private photo: OpenPhoto | null = null;
  /** Counts the photos that were chosen: of two at once, the later one is taken. */
  private chosen = 0;
  private longerSide = 0;
  private current: CutoutStyle;

  constructor(private readonly onChange: (style: CutoutStyle) => void) {
    this.current = this.read();
    // A browser that comes back to the page may have kept what was chosen.
    this.showRows();
    const update = (): void => this.update();
    for (const input of [featherSlider, colorInput]) input.addEventListener("input", update);
    for (const radio of radios) radio.addEventListener("change", update);
    listenToInput(backgroundFile, (file, name) => void this.takePhoto(file, name));
  }

  get style(): CutoutStyle {
    return this.current;
  }

  /** Feathers are told in pixels of the photo, so its longer side has to be known. */
  setPhotoSide(longerSide: number): void {
    this.longerSide = longerSide;
    this.showFeather();
  }

  private update(): void {
    this.showRows();
    this.showFeather();
    this.current = this.read();
    this.onChange(this.current);
  }

  private async takePhoto(file: Blob, name: string): Promise<void> {
    const chosen = ++this.chosen;
    try {
      const photo = await openPhoto(file, name);
      if (chosen !== this.chosen) {
        photo.preview.close();
        return;
      }
      this.photo?.preview.close();
      this.photo = photo;
      this.update();
    } catch (error) {
      if (chosen === this.chosen) showError(inWords(error));
    }
  }

  private showRows(): void {
    const chosen = chosenBackground();
    element("color-row", HTMLElement).hidden = chosen !== "color";
    element("photo-row", HTMLElement).hidden = chosen !== "photo";
  }

  private showFeather(): void {
    const pixels = featherSlider.valueAsNumber * FEATHER_UNIT * this.longerSide;
    featherValue.value = `${pixels < 10 ? pixels.toFixed(1) : Math.round(pixels)} px`;
    featherSlider.setAttribute("aria-valuetext", `${featherValue.value} of the photo`);
  }

  private read(): CutoutStyle {
    return { background: this.background(), feather: featherSlider.valueAsNumber * FEATHER_UNIT };
  }

  private background(): StyleBackground {
    const chosen = chosenBackground();
    if (chosen === "blur") return { kind: "blur" };
    if (chosen === "color") return { kind: "color", color: colorInput.value };
    if (chosen === "photo" && this.photo !== null) return { kind: "photo", photo: this.photo };
    return { kind: "none" };
  }
}

function chosenBackground(): string {
  return radios.find((radio) => radio.checked)?.value ?? "none";
}
