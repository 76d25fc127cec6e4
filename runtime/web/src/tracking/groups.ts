/** Several things that are followed at once, in as few tiles as show each of them well. */

import type { Pixels } from "../image/pixels.ts";
import { followGroups, type FollowRule } from "./tile.ts";
import { bounds, type Tracked } from "./tracked.ts";
import { Tracker, type Change, type TrackNetwork } from "./tracker.ts";

/** Things that share a tile. */
interface Group<F> {
  readonly things: readonly number[];
  readonly tracker: Tracker<F>;
}

/**
 * As a `Tracker`, in several tiles where that helps.
 *
 * The first touch says which things share a tile (`followGroups`). Those that do share its cells,
 * too; the masks of others may overlap.
 */
export class GroupTracker<F> {
  private groups: readonly Group<F>[] = [];

  constructor(
    private readonly network: TrackNetwork<F>,
    private readonly objects: number,
    private readonly rule: FollowRule,
  ) {}

  /** Size in bytes of what is remembered. */
  get nbytes(): number {
    return this.groups.reduce((sum, { tracker }) => sum + tracker.memory.nbytes, 0);
  }

  /** See `Tracker.touch`. */
  async touch(
    number: number,
    frame: Pixels,
    masks: readonly Uint8Array[],
  ): Promise<readonly Tracked[]> {
    if (this.groups.length === 0) {
      const boxes = masks.map((mask) => bounds(mask, frame.width, 0));
      this.groups = followGroups(this.rule, frame, boxes).map((things) => {
        return { things, tracker: new Tracker(this.network, things.length, this.rule) };
      });
    }
    return this.inOrder(({ things, tracker }) => {
      return tracker.touch(number, frame, things.map((thing) => masks[thing]!));
    });
  }

  /** See `Tracker.step`. */
  async step(number: number, frame: Pixels): Promise<readonly Tracked[]> {
    return this.inOrder(({ tracker }) => tracker.step(number, frame));
  }

  /** See `Tracker.change`. */
  change(thing: number, before: Tracked): Change {
    const { things, tracker } = this.groupOf(thing);
    return tracker.change(things.indexOf(thing), before);
  }

  /** See `Tracker.fuse`. */
  async fuse(
    thing: number,
    frame: Pixels,
    before: Tracked,
    change: Change,
    distances: readonly [number, number],
  ): Promise<Tracked> {
    const { things, tracker } = this.groupOf(thing);
    return tracker.fuse(things.indexOf(thing), frame, before, change, distances);
  }

  private groupOf(thing: number): Group<F> {
    return this.groups.find(({ things }) => things.includes(thing))!;
  }

  /** What is found of each thing, one group after another. */
  private async inOrder(
    find: (group: Group<F>) => Promise<readonly Tracked[]>,
  ): Promise<readonly Tracked[]> {
    const ordered = new Array<Tracked>(this.objects);
    for (const group of this.groups) {
      const found = await find(group);
      for (const [place, thing] of group.things.entries()) ordered[thing] = found[place]!;
    }
    return ordered;
  }
}
