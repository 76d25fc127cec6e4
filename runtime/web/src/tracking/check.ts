/** Do the programs take and give what carrying masks needs? */

import { contradiction } from "../errors.ts";
import type { Program, TensorSpec } from "../graph/program.ts";
import {
  FUSION_PLANES,
  KEY_CHANNELS,
  KEY_STRIDE,
  MASK_STRIDE,
  PLANE_STRIDE,
  TILE_SIDE,
  VALUE_CHANNELS,
} from "./contract.ts";
import { PARTS, type Part, type Tracking } from "./records.ts";

/** What is kept of a frame, and tile pixels per cell of it; how many channels is the network's. */
const FEATURES = { edges: 2, fine: 4, coarse: 8, deep: 16 } as const;

export type Feature = keyof typeof FEATURES;

export const FEATURE_NAMES = Object.keys(FEATURES) as Feature[];

/** The thing's mask, and the sum of the others'. */
const VALUE_PLANES = 2;

interface Ends {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** Throw a `BundleError` unless the programs are there and fit together. */
export function checkTracking(tracking: Tracking, programs: ReadonlyMap<string, Program>): void {
  for (const name of Object.values(tracking.programs)) {
    if (!programs.has(name)) {
      throw contradiction(`tracking uses the program '${name}', which there is not`);
    }
  }
  const { frame } = tracking.programs;
  const features = FEATURE_NAMES.map((name) => {
    const given = programs.get(frame)!.outputs.get(name);
    if (given === undefined) throw contradiction(`the program '${frame}' does not give '${name}'`);
    return [name, plane(name, given.shape[1], FEATURES[name])] as const;
  });
  const wanted = endsOf(Object.fromEntries(features) as Record<Feature, TensorSpec>);
  for (const part of PARTS) {
    const name = tracking.programs[part];
    for (const role of ["inputs", "outputs"] as const) {
      if (!areSame(wanted[part][role], programs.get(name)![role])) {
        throw contradiction(
          `the ${role} of the program '${name}' are not what '${part}' of tracking has`,
        );
      }
    }
  }
}

/** What each program takes and gives. */
function endsOf(specs: Readonly<Record<Feature, TensorSpec>>): Record<Part, Ends> {
  const { fine, coarse, deep } = specs;
  const features = Object.values(specs);
  return {
    frame: {
      inputs: [plane("image", 3, 1)],
      outputs: [...features, plane("key", KEY_CHANNELS, KEY_STRIDE)],
    },
    value: {
      inputs: [fine, coarse, deep, plane("masks", VALUE_PLANES, PLANE_STRIDE)],
      outputs: [plane("value", VALUE_CHANNELS, KEY_STRIDE)],
    },
    decode: {
      inputs: [
        ...features,
        plane("read", VALUE_CHANNELS, KEY_STRIDE),
        plane("prior", 1, PLANE_STRIDE),
      ],
      outputs: [plane("mask", 1, MASK_STRIDE), plane("presence", 1, KEY_STRIDE)],
    },
    fuse: {
      inputs: [fine, plane("planes", FUSION_PLANES.length, PLANE_STRIDE)],
      outputs: [plane("share", 1, MASK_STRIDE)],
    },
  };
}

function plane(name: string, channels: number, stride: number): TensorSpec {
  return { name, shape: [1, channels, TILE_SIDE / stride, TILE_SIDE / stride] };
}

function areSame(wanted: readonly TensorSpec[], found: ReadonlyMap<string, TensorSpec>): boolean {
  return (
    found.size === wanted.length &&
    wanted.every(({ name, shape }) => found.get(name)?.shape.join() === shape.join())
  );
}
