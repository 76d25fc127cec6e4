/** Loads the bundle, with a progress bar and a way to try again. */

import { TapSegmenter, type LoadOptions, type LoadProgress } from "../src/index.ts";
import { element } from "./dom.ts";
import { clearFault, inWords, setStatus, showFault } from "./notices.ts";
import { activateNewerPage } from "./offline.ts";
import { bytesInWords } from "./words.ts";

const progressBar = element("progress", HTMLProgressElement);

/** Load until it succeeds: after a failure the page says why and waits for "Retry". */
export function loadSegmenter(): Promise<TapSegmenter> {
  return new Promise((resolve) => {
    const attempt = async (): Promise<void> => {
      clearFault();
      try {
        const options = { ...optionsOf(location.search), onProgress: showLoading };
        resolve(await TapSegmenter.load(new URL("bundle/", document.baseURI).href, options));
      } catch (error) {
        if (await activateNewerPage()) return location.reload();
        setStatus("The network is not loaded.");
        showFault(inWords(error), { label: "Retry", act: () => void attempt() });
      } finally {
        hideProgress();
      }
    };
    void attempt();
  });
}

/** Choices for measurements, from the page's address: ?schedule=all&threads=1 */
function optionsOf(search: string): LoadOptions {
  const query = new URLSearchParams(search);
  const schedule = query.get("schedule");
  const threads = query.get("threads");
  return {
    ...(schedule !== null && { schedule }),
    ...(threads !== null && { threads: Number(threads) }),
  };
}

/** Show how far something has come, and what that is. */
export function showProgress(what: string, done: number, total: number): void {
  progressBar.hidden = false;
  progressBar.ariaLabel = what;
  progressBar.max = total;
  progressBar.value = done;
}

export function hideProgress(): void {
  progressBar.hidden = true;
}

function showLoading({ stage, done, total }: LoadProgress): void {
  showProgress("Loading", done, total);
  if (stage === "download") {
    setStatus(`Loading: ${bytesInWords(done)} of ${bytesInWords(total)}`);
  } else if (stage === "open") {
    setStatus(`Opening the network: ${done} of ${total} parts`);
  } else {
    setStatus(`Checking its answers: ${done} of ${total}`);
  }
}
