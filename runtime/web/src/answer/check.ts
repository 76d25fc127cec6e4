/** Do the outputs of a schedule mean what a look takes them for? */

import {
  FILTER,
  GUIDE,
  GUIDE_PLANES,
  GUIDE_STRIDE,
  PROBABILITY_STRIDE,
  VECTORS,
} from "../contract.ts";
import { contradiction } from "../errors.ts";
import type { Program } from "../graph/program.ts";
import {
  callsOf,
  cellOf,
  planesOf,
  windowsOf,
  type Choice,
  type Phase,
  type Schedule,
} from "../graph/schedule.ts";
import { checkWindows, covers, refuse, sameNames, type Extents } from "../graph/windows.ts";
import { asked, type Level, type Meaning } from "./levels.ts";
import { maskHeads } from "./maskHead.ts";

/** Throw a `BundleError` unless the outputs of schedules are those of levels. */
export function checkMeaning(meaning: Meaning, schedules: readonly Schedule[]): void {
  const { levels } = meaning;
  if (new Set(levels.map(({ name }) => name)).size !== levels.length) {
    throw contradiction("two levels have the same name");
  }
  if (levels.some(({ stride }, i) => i > 0 && levels[i - 1]!.stride >= stride)) {
    throw contradiction("the levels are not ordered from the finest to the coarsest");
  }
  for (const schedule of schedules) checkOutputs(meaning, schedule);
}

/**
 * Throw a `BundleError` unless every tap of a canvas that a schedule serves can be answered.
 *
 * `checkStructure` and `checkMeaning` must have passed.
 */
export function checkChoice(
  programs: ReadonlyMap<string, Program>,
  meaning: Meaning,
  choice: Choice,
): void {
  const { tap: arrays, correction } = checkWindows(programs, choice);
  const { graph } = choice.schedule;
  for (const level of asked(meaning, graph)) checkLevel(level, choice, arrays);
  for (const phase of windowsOf(graph)) checkHead(meaning.featureStride, choice, phase);
  if (callsOf(graph, "correction").length > 0) checkCorrection(choice, correction);
}

/** A correction takes the planes of a guided look and gives the probabilities of a mask. */
function checkCorrection(choice: Choice, arrays: Extents): void {
  const { graph } = choice.schedule;
  const planes = planesOf(graph);
  const guide = planes.get(GUIDE);
  const fits = guide?.channels === GUIDE_PLANES.length && guide.stride === GUIDE_STRIDE;
  if (planes.size !== 1 || !fits) {
    refuse(
      choice,
      `its planes are not '${GUIDE}', of ${GUIDE_PLANES.length} channels and ${GUIDE_STRIDE} ` +
        "canvas pixels a cell",
    );
  }
  const name = graph.outputs.mask_state[0]!;
  const { channels, cell } = arrays.get(name)!;
  if (channels !== 1 || cell.height !== GUIDE_STRIDE || cell.width !== GUIDE_STRIDE) {
    refuse(
      choice,
      `the mask's state '${name}' is not one channel of ${GUIDE_STRIDE} pixels a cell`,
    );
  }
}

/** Every score, box and filter is that of a level, and every level has all three or none. */
function checkOutputs(meaning: Meaning, { name, graph, keyStride }: Schedule): void {
  const levels = asked(meaning, graph);
  for (const role of ["score", "box", "filter"] as const) {
    if (!sameNames(graph.outputs[role], levels.map((level) => level[role]))) {
      throw contradiction(
        `the outputs of the schedule '${name}' are not scores, boxes and filters of the same ` +
          "levels",
      );
    }
  }
  if (keyStride !== levels[0]!.stride) {
    throw contradiction(
      `the key cells of the schedule '${name}' are not those of its finest level`,
    );
  }
  for (const [vector, channels] of VECTORS) {
    const input = graph.inputs.get(vector);
    if (input?.kind !== "vector" || input.channels !== channels) {
      throw contradiction(
        `the schedule '${name}' does not have the vectors of a mask head as inputs`,
      );
    }
  }
}

/** The tap's cell of a level must lie in its three arrays. */
function checkLevel({ stride, ...level }: Level, choice: Choice, arrays: Extents): void {
  const { keyStride } = choice.schedule;
  const needed = [
    [level.score, 1],
    [level.box, 4],
    [level.filter, VECTORS.get(FILTER)],
  ] as const;
  for (const [name, channels] of needed) {
    const array = arrays.get(name)!;
    if (array.channels !== channels) {
      refuse(choice, `the array '${name}' does not have ${channels} channel(s)`);
    }
    const isCovered = covers(array, (key) => {
      const last = Math.floor(((key + 1) * keyStride - 1) / stride);
      return [Math.floor((key * keyStride) / stride), last + 1];
    });
    if (!isCovered) refuse(choice, `the array '${name}' misses the cell of some taps`);
  }
}

/** The call that takes the vectors must make of one window of features one of masks. */
function checkHead(stride: number, choice: Choice, phase: Phase): void {
  const [head, ...others] = maskHeads(phase);
  if (head === undefined || others.length > 0) {
    refuse(choice, `the window '${phase.name}' does not have one mask head`);
  }
  const who = `the mask head of '${phase.name}'`;
  if (!sameNames([...head.vectors.values()], [...VECTORS.keys()])) {
    refuse(choice, `${who} does not take each of its vectors once`);
  }
  const [features, mask] = [head.inputs[0]!, head.outputs[0]!];
  if (head.inputs.length !== 1 || head.outputs.length !== 1) {
    refuse(choice, `${who} must have one window in and one out`);
  }
  const cell = cellOf(choice.schedule, head, features);
  if (cell.height !== stride || cell.width !== stride) {
    refuse(choice, `the features of '${phase.name}' do not have ${stride} canvas pixels a cell`);
  }
  const finer = Math.floor(stride / PROBABILITY_STRIDE);
  if (
    mask.step !== finer * features.step ||
    mask.height !== finer * features.height ||
    mask.width !== finer * features.width
  ) {
    refuse(choice, `the mask of '${phase.name}' is not ${finer} times as fine as its features`);
  }
}
