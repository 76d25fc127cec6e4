/** Opens a clip: its file, and what the network needs for it. */

import {
  BundleUnreachable,
  type LoadProgress,
  type TapSegmenter,
  type VideoSession,
} from "../../src/index.ts";
import { hideProgress, showProgress } from "../loading.ts";
import { setStatus } from "../notices.ts";
import { Clip, ClipError } from "./source.ts";
import { LONGEST_S, MOST_FRAMES } from "./times.ts";

const NEEDS_CONNECTION =
  "What clips need could not be fetched: open one with a connection, then clips work offline, too.";

/** A clip that is not shown yet. */
export interface LoadedClip {
  readonly clip: Clip;
  readonly video: VideoSession;
}

/**
 * Open a clip, and fetch what the network needs for it.
 * @throws ClipError if the browser cannot decode it, or the bundle does not track
 */
export async function loadClip(
  file: Blob,
  name: string,
  segmenter: TapSegmenter,
): Promise<LoadedClip> {
  if (!segmenter.bundle.tracks) {
    throw new ClipError(
      "The network of this page is for photos alone: serve the page with a bundle that tracks.",
    );
  }
  const clip = await Clip.open(file, name);
  try {
    return { clip, video: await segmenter.openVideo(clip, { onProgress: showLoaded }) };
  } catch (error) {
    clip.close();
    if (error instanceof BundleUnreachable) throw new ClipError(NEEDS_CONNECTION);
    throw error;
  } finally {
    hideProgress();
  }
}

/** Close one that is never shown. */
export function closeLoaded({ clip, video }: LoadedClip): void {
  video.close();
  clip.close();
}

/** What the user has to know of how the clip is worked on. */
export function factsOf({ fileSize, size, isCut, times }: Clip): string {
  const facts: string[] = [];
  if (isCut) {
    const limit = times.length === MOST_FRAMES ? `${MOST_FRAMES} frames` : `${LONGEST_S} seconds`;
    facts.push(`The clip is long: its first ${limit} are open.`);
  }
  if (size.width < fileSize.width - 1 || size.height < fileSize.height - 1) {
    facts.push(
      `Frames are made smaller, ${fileSize.width} × ${fileSize.height} to ` +
        `${size.width} × ${size.height}, also in what is saved.`,
    );
  }
  return facts.join(" ");
}

function showLoaded({ done, total }: LoadProgress): void {
  showProgress("Loading", done, total);
  setStatus("Loading what clips need…");
}
