/** What the page fetches when a clip is opened. */

export { closeLoaded, loadClip } from "./load.ts";
export { ClipView } from "./view.ts";
