/** Carrying masks from frame to frame: tile, read, decode, remember. */

import { coarser } from "../answer/maskState.ts";
import type { Tensor } from "../graph/arrays.ts";
import { CanvasImage, type PadValue } from "../image/canvas.ts";
import { contains, isSameTile, united, type PlacedTile } from "../image/geometry.ts";
import type { Pixels } from "../image/pixels.ts";
import type { Box, Size } from "../rectangles.ts";
import { affinity, readValues } from "./affinity.ts";
import { aggregated } from "./aggregate.ts";
import {
  FUSION_PLANES,
  KEY_SIDE,
  KEY_STRIDE,
  MASK_STRIDE,
  PLANE_SIDE,
  PLANE_STRIDE,
  TILE_SIDE,
} from "./contract.ts";
import { Memory } from "./memory.ts";
import { carried, followTile, mixAt, stretched, type FollowRule } from "./tile.ts";
import { bounds, shown, trackedBox, type Tracked } from "./tracked.ts";

/** A tile as the programs see it: what they keep of it, and its key. */
export interface Encoded<F> {
  readonly features: F;
  /** KEY_CHANNELS numbers for each cell. */
  readonly key: Float32Array;
}

/**
 * Propagation's programs; F is what they keep of a tile, whatever that is.
 *
 * Masks have MASK_SIDE x MASK_SIDE cells, planes PLANE_SIDE x PLANE_SIDE, and values VALUE_CHANNELS
 * numbers for each cell of a key.
 */
export interface TrackNetwork<F> {
  /** Beside a frame. */
  readonly padValue: PadValue;
  /** A tile, 1 x 3 x TILE_SIDE x TILE_SIDE, from 0 to 255. */
  encode(tile: Tensor): Promise<Encoded<F>>;
  /** The value of a mask on a tile; `others` is the sum of the other masks; both are planes. */
  value(features: F, mask: Float32Array, others: Float32Array): Promise<Float32Array>;
  /**
   * From what the memory says of a tile and the mask so far, a plane: the mask's probabilities, and
   * the probability that the thing is in the tile.
   */
  decode(
    features: F,
    read: Float32Array,
    prior: Float32Array,
  ): Promise<{ readonly mask: Float32Array; readonly presence: number }>;
  /** From FUSION_PLANES, one behind the other: the new mask's share in each cell of a mask. */
  fuse(features: F, planes: Float32Array): Promise<Float32Array>;
}

/** What the user's correction of a frame changed of a thing. */
export interface Change {
  /** The frame's. */
  readonly key: Float32Array;
  /** For each cell of a key: what was added to the thing's mask, and what was taken away. */
  readonly cells: Float32Array;
}

const PLANE_CELLS = PLANE_SIDE ** 2;
const CANVAS: Size = { height: TILE_SIDE, width: TILE_SIDE };

/** Things that are followed through a clip, in one tile; frames come in any one direction. */
export class Tracker<F> {
  readonly memory: Memory;
  private last: readonly Tracked[] = [];
  private places: readonly (Box | null)[] = [];
  private searched = 0;
  private seen: Encoded<F> | null = null;

  constructor(
    private readonly network: TrackNetwork<F>,
    objects: number,
    private readonly rule: FollowRule,
  ) {
    this.memory = new Memory(objects);
  }

  /**
   * Remember what the user says of a frame; from there the things are followed.
   *
   * `masks` has one of the frame for each thing, not 0 inside; empty where it is not seen.
   */
  async touch(
    number: number,
    frame: Pixels,
    masks: readonly Uint8Array[],
  ): Promise<readonly Tracked[]> {
    this.places = masks.map((mask) => bounds(mask, frame.width, 0));
    this.searched = 0;
    const known = this.places.filter((box) => box !== null);
    const size = sizeOf(frame);
    const view = followTile(this.rule, size, known.length > 0 ? united(known) : null);
    const { features, key } = await this.look(frame, view);
    const cells = masks.map((mask) => covered(mask, size, view));
    this.memory.forgetWay();
    this.memory.touch(number, key, await this.values(features, cells));
    this.last = cells.map((probability, k) => {
      const present = this.places[k] !== null;
      return { probability, presence: present ? 1 : 0, present, view, frame: size };
    });
    return this.last;
  }

  /** The things in the next frame. */
  async step(number: number, frame: Pixels): Promise<readonly Tracked[]> {
    const { last } = this;
    const known = this.places.filter((box) => box !== null);
    const size = sizeOf(frame);
    const about = known.length === last.length ? united(known) : null;
    const view = followTile(this.rule, size, about, this.searched);
    const { features, key } = await this.look(frame, view);
    const reads = this.memory.read(key);
    const answers = [];
    for (const [k, thing] of last.entries()) {
      const prior = carried(planeOf(shown(thing)), thing.view, view);
      answers.push(await this.network.decode(features, reads[k]!, prior));
    }
    const masks = aggregated(answers.map(({ mask }) => mask));
    this.last = answers.map(({ presence }, k) => {
      const present = presence >= this.rule.lost && masks[k]!.some((value) => value > 0.5);
      return { probability: masks[k]!, presence, present, view, frame: size };
    });
    const found = this.last.filter(({ present }) => present);
    this.searched = found.length === last.length ? 0 : this.searched + 1;
    this.places = this.last.map((thing, k) => trackedBox(thing) ?? this.places[k]!);
    // What may be something else would be taken for the thing from then on.
    if (found.length > 0 && found.every(({ presence }) => presence >= this.rule.sure)) {
      this.memory.remember(number, key, await this.values(features, this.last.map(shown)));
    }
    return this.last;
  }

  /** What the last touch changed of a thing; `before` is what it was in that frame until then. */
  change(thing: number, before: Tracked): Change {
    const now = this.last[thing]!;
    const there = carried(shown(before), before.view, now.view);
    return { key: this.seen!.key, cells: difference(planeOf(shown(now)), planeOf(there)) };
  }

  /**
   * A thing in the frame of the last step, what was there merged with what that gave.
   *
   * Where what was there is not on the tile of the last step, or that found nothing, a tile about it
   * is looked at first: merged there it stays, if anything is left of it. What later frames are
   * told of this one stays what the step gave. `frame` is that of the last step, `before` what the
   * thing was in it until then, `change` is at the frame that was corrected, and `distances` are of
   * the frame to that one, and to the one that it was carried from before, as shares of the sum of
   * the two.
   */
  async fuse(
    thing: number,
    frame: Pixels,
    before: Tracked,
    change: Change,
    distances: readonly [number, number],
  ): Promise<Tracked> {
    const now = this.last[thing]!;
    const both = { before, now, change, distances };
    const [box, found] = [trackedBox(before), trackedBox(now)];
    if (box !== null && (found === null || !contains(now.view.tile, box))) {
      const view = followTile(this.rule, now.frame, box);
      if (!isSameTile(view, now.view)) {
        const merged = await this.merged(await this.encoded(frame, view), view, both);
        if (merged.present) return merged;
      }
    }
    return this.merged(this.seen!, now.view, both);
  }

  /** Both on a tile that was looked at, merged. */
  private async merged(
    { features, key }: Encoded<F>,
    view: PlacedTile,
    { before, now, change, distances }: Merged,
  ): Promise<Tracked> {
    const there = carried(shown(before), before.view, view);
    const wanted = view === now.view ? shown(now) : carried(shown(now), now.view, view);
    const told = readValues(affinity(key, change.key), change.cells, 2);
    const planes = new Float32Array(FUSION_PLANES.length * PLANE_CELLS);
    planes.set(planeOf(there));
    planes.set(planeOf(wanted), PLANE_CELLS);
    planes.set(finer(told.filter((_, i) => i % 2 === 0)), 2 * PLANE_CELLS);
    planes.set(finer(told.filter((_, i) => i % 2 === 1)), 3 * PLANE_CELLS);
    planes.fill(distances[0], 4 * PLANE_CELLS, 5 * PLANE_CELLS);
    planes.fill(distances[1], 5 * PLANE_CELLS);
    const share = await this.network.fuse(features, planes);
    const probability = there.map((value, cell) => value + share[cell]! * (wanted[cell]! - value));
    const presence = Math.max(before.presence, now.presence);
    const present = probability.some((value) => value > 0.5);
    return { probability, presence, present, view, frame: now.frame };
  }

  private async look(frame: Pixels, view: PlacedTile): Promise<Encoded<F>> {
    this.seen = await this.encoded(frame, view);
    return this.seen;
  }

  private encoded(frame: Pixels, { tile }: PlacedTile): Promise<Encoded<F>> {
    const image = new CanvasImage(CANVAS, this.network.padValue, frame, tile);
    return this.network.encode(image.cut(0, 0, TILE_SIDE, TILE_SIDE));
  }

  private async values(features: F, masks: readonly Float32Array[]): Promise<Float32Array[]> {
    const planes = masks.map(planeOf);
    const values = [];
    for (const plane of planes) {
      const others = plane.map((own, cell) => {
        return planes.reduce((sum, other) => sum + other[cell]!, -own);
      });
      values.push(await this.network.value(features, plane, others));
    }
    return values;
  }
}

/** What is merged: a thing in a frame before, and now; see `Tracker.fuse`. */
interface Merged {
  readonly before: Tracked;
  readonly now: Tracked;
  readonly change: Change;
  readonly distances: readonly [number, number];
}

function sizeOf({ height, width }: Size): Size {
  return { height, width };
}

/** The share of each cell of a tile that a mask of the frame covers. */
function covered(mask: Uint8Array, frame: Size, { tile }: PlacedTile): Float32Array {
  const [x0, y0, x1, y1] = tile;
  const [height, width] = [y1 - y0, x1 - x0];
  const data = new Uint8Array(3 * height * width);
  for (let y = 0, to = 0; y < height; y++) {
    let from = (y0 + y) * frame.width + x0;
    for (let x = 0; x < width; x++, from++, to += 3) {
      if (mask[from] !== 0) data.fill(255, to, to + 3);
    }
  }
  const image = new CanvasImage(CANVAS, [0, 0, 0], { height, width, data }, [0, 0, width, height]);
  const shades = image.cut(0, 0, TILE_SIDE, TILE_SIDE).data.subarray(0, TILE_SIDE ** 2);
  return means(shades, MASK_STRIDE).map((shade) => shade / 255);
}

/** A mask as networks are told of it. */
function planeOf(mask: Float32Array): Float32Array {
  return means(mask, PLANE_STRIDE / MASK_STRIDE);
}

/** What was added to a plane, and what was taken away, side by side for each cell of a key. */
function difference(now: Float32Array, before: Float32Array): Float32Array {
  const side = (sign: number) => {
    const changed = now.map((value, cell) => Math.max(0, sign * (value - before[cell]!)));
    return means(changed, KEY_STRIDE / PLANE_STRIDE);
  };
  const [added, removed] = [side(1), side(-1)];
  const cells = new Float32Array(2 * added.length);
  added.forEach((value, cell) => {
    cells[2 * cell] = value;
    cells[2 * cell + 1] = removed[cell]!;
  });
  return cells;
}

/** The means of squares of `factor` x `factor` cells of a tile. */
function means(data: Float32Array, factor: number): Float32Array {
  const side = Math.sqrt(data.length);
  return coarser({ height: side, width: side, data }, factor).data;
}

/** A value per cell of a key as one per cell of a plane, bilinearly. */
function finer(cells: Float32Array): Float32Array {
  const factor = KEY_STRIDE / PLANE_STRIDE;
  const places = Float64Array.from({ length: PLANE_SIDE }, (_, cell) => {
    return Math.min(Math.max((cell + 0.5) / factor - 0.5, 0), KEY_SIDE - 1);
  });
  const mix = mixAt(places, KEY_SIDE);
  return stretched(cells, KEY_SIDE, mix, mix);
}
