/** The ways in which a photo or clip comes into the page: file, camera, drop, paste, sample. */

import { create, element } from "./dom.ts";

const SAMPLES = [
  { name: "coffee", label: "Coffee" },
  { name: "chelsea", label: "Cat" },
  { name: "astronaut", label: "Person" },
  { name: "rocket", label: "Rocket" },
] as const;

/** A sample is still on its way when its button is pressed. */
export type TakeFile = (file: Blob | Promise<Blob>, name: string) => void;

/** Whether a file says that it is a clip; only decoding it tells. */
export function isClip(file: Blob, name: string): boolean {
  if (file.type !== "") return file.type.startsWith("video/");
  return /\.(mp4|m4v|mov|webm|mkv|ts)$/i.test(name);
}

/** Wire all of them. A file that is neither comes, too: only decoding it tells. */
export function listenForFiles(take: TakeFile): void {
  listenToInput(element("file-input", HTMLInputElement), take);
  listenToInput(element("camera-input", HTMLInputElement), take);
  listenForDrop(take);
  document.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (file === undefined) return;
    event.preventDefault();
    take(file, file.name);
  });
  element("samples", HTMLElement).append(
    ...SAMPLES.map((sample) => {
      const button = create("button", { type: "button", className: "sample" });
      button.dataset["testid"] = `sample-${sample.name}`;
      const url = `samples/${sample.name}.jpg`;
      button.append(create("img", { src: url, alt: "" }), create("span", {}, sample.label));
      button.addEventListener("click", () => take(fetchSample(url), sample.name));
      return button;
    }),
  );
}

/** Hand over what a file input is given; the same file can be chosen again afterwards. */
export function listenToInput(
  input: HTMLInputElement,
  take: (file: Blob, name: string) => void,
): void {
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    if (file !== undefined) take(file, file.name);
    input.value = "";
  });
}

function listenForDrop(take: TakeFile): void {
  const isFile = (event: DragEvent): boolean =>
    event.dataTransfer?.types.includes("Files") ?? false;
  const mark = (isOver: boolean): void => {
    document.body.classList.toggle("drop", isOver);
  };
  document.addEventListener("dragover", (event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    mark(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) mark(false);
  });
  document.addEventListener("drop", (event) => {
    mark(false);
    const file = event.dataTransfer?.files[0];
    if (file === undefined) return;
    event.preventDefault();
    take(file, file.name);
  });
}

async function fetchSample(url: string): Promise<Blob> {
  const response = await fetch(url).catch(() => null);
  if (response?.ok) return response.blob();
  throw new Error(
    "The sample could not be fetched; check the connection, or open a photo of your own.",
  );
}
