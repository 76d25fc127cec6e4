/** Is a graph put together as graphs are, whatever its windows? */

import { IMAGE } from "../contract.ts";
import { contradiction } from "../errors.ts";
import {
  callsOf,
  makes,
  masksPlaced,
  planesOf,
  programCalls,
  WHENS,
  type Graph,
  type Schedule,
} from "./schedule.ts";

/** Throw a `BundleError` unless the inputs, phases and outputs of its graph fit together. */
export function checkStructure({ name, graph }: Schedule): void {
  for (const problem of problems(graph)) {
    throw contradiction(`in the schedule '${name}', ${problem}`);
  }
}

/** Times of which a graph has one phase at most. */
const ONCE = ["photo", "tap", "correction"].map((when) => WHENS.findIndex((v) => v === when));

function* problems(graph: Graph): Generator<string> {
  const { inputs, phases, outputs } = graph;
  const images = [...inputs].filter(([, { kind }]) => kind === "image").map(([name]) => name);
  if (images.join() !== IMAGE) yield `it must have one input that is an image, named '${IMAGE}'`;
  const whens = phases.map(({ when }) => WHENS.indexOf(when));
  const isOrdered = whens.every((when, i) => i === 0 || whens[i - 1]! <= when);
  if (!isOrdered || ONCE.some((once) => whens.indexOf(once) !== whens.lastIndexOf(once))) {
    yield "its phases are not at most one per photo, at most one per tap, those of windows, and at " +
      "most one per correction";
  }
  const windows = phases.filter(({ when }) => when === "window");
  if (windows.length === 0) yield "it has no phase of a window";
  if (isRepeated(phases.map(({ name }) => name))) yield "two of its phases have the same name";
  if (isRepeated(Object.values(outputs).flat())) yield "one of its outputs has two roles";
  for (const phase of phases) {
    const who = `the phase '${phase.name}'`;
    if (masksPlaced(phase.calls).length !== (phase.when === "window" ? 1 : 0)) {
      yield `${who} does not place one mask where it is a window's`;
    }
    const taken = programCalls(phase.calls).flatMap(({ vectors }) => [...vectors.values()]);
    for (const vector of taken) {
      if (phase.when !== "window") yield `${who} takes vectors, which are for those of windows`;
      if (inputs.get(vector)?.kind !== "vector") {
        yield `${who} takes the vector '${vector}', which is no input`;
      }
    }
  }
  const placed = masksPlaced(windows.flatMap(({ calls }) => calls));
  const isInOrder = placed.every(({ output }, i) => output === outputs.mask[i]);
  if (!isInOrder || placed.length !== outputs.mask.length) {
    yield "its masks are not what its windows place, in their order";
  }
  const reaches = placed.map(({ reach }) => reach ?? Infinity);
  if (reaches.some((reach, i) => i > 0 && reaches[i - 1]! >= reach)) {
    yield "its windows are not ordered from the smallest reach up";
  }
  yield* correctionProblems(graph);
}

/** A correction reads planes and what was made once per photo, and leaves the mask's state. */
function* correctionProblems(graph: Graph): Generator<string> {
  const correction = callsOf(graph, "correction");
  const states = graph.outputs.mask_state;
  const has = correction.length > 0;
  if (has !== planesOf(graph).size > 0 || has !== states.length > 0) {
    yield "a phase per correction, planes and a mask's state do not come together";
  }
  if (has && callsOf(graph, "photo").length === 0) {
    yield "it has a phase per correction, but none per photo that it could read";
  }
  const made = correction.flatMap(makes);
  if (states.length > 1 || states.some((name) => !made.includes(name))) {
    yield "its mask's state is not one array that its correction makes";
  }
}

function isRepeated(names: readonly string[]): boolean {
  return new Set(names).size !== names.length;
}
