/** Save, copy and share: each button only where the browser can do it. */

import type { TapResult } from "../src/index.ts";
import { CutoutMaker } from "./cutout.ts";
import type { CutoutStyle } from "./cutoutStyle.ts";
import type { ExportBackground } from "./cutoutWorker.ts";
import { create, element } from "./dom.ts";
import { inWords, setStatus, showError } from "./notices.ts";
import type { OpenPhoto } from "./photo.ts";
import type { Scene } from "./scene.ts";

/** What is to be exported. */
export interface Cutout {
  readonly photo: OpenPhoto;
  readonly result: TapResult;
  readonly style: CutoutStyle;
}

type FileType = "image/png" | "image/jpeg";
type MakeFile = (type: FileType) => Promise<Blob>;

interface Action {
  readonly act: (cutout: Cutout, make: MakeFile) => Promise<void>;
  readonly done: string;
  /** What a browser that refuses does not allow. */
  readonly name: string;
}

/**
 * How long a saved file's address stays valid, in ms: browsers start the download a moment later.
 */
const ADDRESS_LIFE = 60_000;

const saveButton = element("save", HTMLButtonElement);
const copyButton = element("copy", HTMLButtonElement);
const shareButton = element("share", HTMLButtonElement);

export class Exporter {
  private readonly maker = new CutoutMaker();
  private last: { readonly key: readonly unknown[]; readonly file: Promise<Blob> } | null = null;
  /** The file that a browser refused though it was asked for at a press of a button. */
  private refused: Promise<Blob> | null = null;

  /** @param current what the page shows; null while there is nothing to export */
  constructor(
    private readonly scene: Scene,
    private readonly current: () => Cutout | null,
  ) {
    copyButton.hidden = typeof ClipboardItem === "undefined" || !navigator.clipboard?.write;
    shareButton.hidden = !canShareFiles();
    this.listen(saveButton, { act: save, done: "Saved.", name: "saving" });
    this.listen(copyButton, { act: copy, done: "Copied.", name: "copying" });
    this.listen(shareButton, { act: share, done: "Shared.", name: "sharing" });
  }

  /** Give back the memory of the worker and of the last file. */
  free(): void {
    this.maker.free();
    this.last = null;
    this.refused = null;
  }

  private listen(button: HTMLButtonElement, action: Action): void {
    button.addEventListener("click", () => void this.run(action));
  }

  private async run({ act, done, name }: Action): Promise<void> {
    const cutout = this.current();
    if (cutout === null) return;
    setStatus("Making the picture at full resolution…");
    try {
      await act(cutout, (type) => this.file(cutout, type));
      setStatus(done);
    } catch (error) {
      if (act === share && error instanceof DOMException && error.name === "AbortError") {
        setStatus("Not shared.");
      } else if (error instanceof DOMException && error.name === "NotAllowedError") {
        setStatus(this.afterRefusal(name));
      } else {
        setStatus("Not exported.");
        showError(inWords(error));
      }
    }
  }

  /** Browsers forget the press of a button after some seconds; the file is kept for the next. */
  private afterRefusal(name: string): string {
    const file = this.last?.file ?? null;
    if (file === this.refused) return `The browser does not allow ${name} here.`;
    this.refused = file;
    return "The picture is ready: press the button again.";
  }

  private file({ photo, result, style }: Cutout, type: FileType): Promise<Blob> {
    const key = [result, style, type];
    if (this.last !== null && this.last.key.every((part, i) => part === key[i])) {
      return this.last.file;
    }
    const file = this.maker.photo({
      photo: photo.file,
      mask: result.probability,
      feather: style.feather * Math.max(photo.height, photo.width),
      background: this.background(photo, result, style),
      type,
    });
    this.last = { key, file };
    file.catch(() => {
      this.last = null;
    });
    return file;
  }

  /** As on the screen, but a photo behind the thing is taken whole. */
  private background(photo: OpenPhoto, result: TapResult, style: CutoutStyle): ExportBackground {
    if (style.background.kind === "photo") {
      return { kind: "picture", picture: style.background.photo.file };
    }
    return this.scene.background(photo, [result], style.background);
  }
}

/** With a background the picture is opaque, and a JPEG is a fraction of the size. */
function typeFor(style: CutoutStyle): FileType {
  return style.background.kind === "none" ? "image/png" : "image/jpeg";
}

function fileName({ photo, style }: Cutout): string {
  const ending = typeFor(style) === "image/png" ? "png" : "jpg";
  return `${photo.name || "photo"}-cutout.${ending}`;
}

async function save(cutout: Cutout, make: MakeFile): Promise<void> {
  download(await make(typeFor(cutout.style)), fileName(cutout));
}

/** Give the user a file. */
export function download(file: Blob, name: string): void {
  const url = URL.createObjectURL(file);
  create("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), ADDRESS_LIFE);
}

/**
 * Clipboards take PNG alone. The promise inside lets Safari count it as the press of the button.
 */
async function copy(_cutout: Cutout, make: MakeFile): Promise<void> {
  const file = make("image/png");
  // The clipboard hides why its promise failed; the file's own error says it.
  await Promise.all([file, navigator.clipboard.write([new ClipboardItem({ "image/png": file })])]);
}

async function share(cutout: Cutout, make: MakeFile): Promise<void> {
  const type = typeFor(cutout.style);
  const file = new File([await make(type)], fileName(cutout), { type });
  await navigator.share({ files: [file] });
}

function canShareFiles(): boolean {
  const probe = new File([], "probe.png", { type: "image/png" });
  return typeof navigator.canShare === "function" && navigator.canShare({ files: [probe] });
}
