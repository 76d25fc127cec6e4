// A stand-in for TapSegmenter.openVideo: a thing is what has the colour under its first tap.
() => {
  const { segmenter } = window.tracenet;
  const near = 60;
  const CANDIDATES = ["P3", "P5"].map((level) => ({ level, score: 1, box: [0, 0, 60, 60] }));
  const unknown = { score: 0, presence: 0, present: false, known: false };

  const scaled = ({ width, height }, base) => (rows, columns) =>
    Uint8Array.from({ length: rows * columns }, (_, i) => {
      const y = Math.floor(((Math.floor(i / columns) + 0.5) * height) / rows);
      const x = Math.floor((((i % columns) + 0.5) * width) / columns);
      return base[y * width + x];
    });

  segmenter.bundle = { ...segmenter.bundle, tracks: true };
  segmenter.openVideo = async (frames) => {
    const { size, length } = frames;
    const things = []; // with what is given and what is carried, by frame
    let open = { number: null, sessions: new Map() }; // the frame that is open, by thing

    const pixelsOf = async (number) => {
      const picture = await frames.frame(number);
      const canvas = new OffscreenCanvas(size.width, size.height);
      const context = canvas.getContext("2d");
      context.drawImage(picture, 0, 0);
      picture.close();
      return context.getImageData(0, 0, size.width, size.height).data;
    };
    const seen = (pixels, color, corrections) => {
      const mask = new Uint8Array(size.width * size.height);
      for (let i = 0; i < mask.length; i++) {
        const apart = [0, 1, 2].map((channel) => Math.abs(pixels[4 * i + channel] - color[channel]));
        mask[i] = Number(Math.max(...apart) < near);
      }
      for (const { at, positive } of corrections) {
        for (let y = at.y - 10; y < at.y + 10; y++)
          mask.fill(Number(positive), y * size.width + at.x - 10, y * size.width + at.x + 10);
      }
      return mask;
    };
    const touched = () => {
      const numbers = new Set(things.flatMap(({ given }) => [...given.keys()]));
      return [...numbers].sort((a, b) => a - b);
    };
    const thingOf = ({ given, carried }, number) => {
      const mask = given.get(number) ?? carried.get(number);
      if (mask === undefined) return unknown;
      const present = mask.some((inside) => inside !== 0);
      const shared = { mask, score: 1, presence: Number(present), present, known: true };
      return { ...shared, touched: given.has(number) };
    };
    const resultOf = (number) => {
      const found = things.map((thing) => thingOf(thing, number));
      return found.some(({ known }) => known) ? { number, size, things: found } : null;
    };
    const forget = (number, which) => {
      things[which]?.given.delete(number);
      while (things.at(-1)?.given.size === 0) things.pop();
    };

    const session = (number, which) => {
      const made = [];
      const undone = [];
      let result = null;
      let level = "P3";
      const answer = async () => {
        if (made.length === 0) {
          forget(number, which);
          return (result = null);
        }
        if (which > things.length) throw new Error(`The next new thing is ${things.length}.`);
        const pixels = await pixelsOf(number);
        const { x, y } = made[0].at;
        const color = [0, 1, 2].map((channel) => pixels[4 * (y * size.width + x) + channel]);
        things[which] ??= { color, given: new Map(), carried: new Map() };
        things[which].given.set(number, seen(pixels, things[which].color, made));
        // Of a coarse level the whole frame is the mask.
        if (level === "P5") things[which].given.get(number).fill(1);
        const found = thingOf(things[which], number);
        result = {
          ...found,
          maskAt: scaled(size, found.mask),
          photo: size,
          probability: { photo: size, layers: [], base: found.mask },
          level, box: [0, 0, 1, 1], candidates: made.length > 1 ? [] : CANDIDATES, schedule: "fake", maskWindow: "fake",
          canvas: size, macs: 0, tile: null, regions: [], obeyed: null, timingsMs: { total: 1 },
        };
        return result;
      };
      return {
        get result() {
          return result;
        },
        get gestures() {
          return [...made];
        },
        get canUndo() {
          return made.length > 0;
        },
        get canRedo() {
          return undone.length > 0;
        },
        make(gesture, of) {
          if (of !== undefined) made.length = 0;
          level = of ?? "P3";
          made.push(gesture);
          undone.length = 0;
          return answer();
        },
        async candidate(x, y, of) {
          const shown = result;
          const mask = new Uint8Array(size.width * size.height).fill(1);
          if (of === shown.level) return shown;
          const probability = { photo: size, layers: [], base: mask };
          return { ...shown, level: of, mask, maskAt: scaled(size, mask), probability };
        },
        undo() {
          undone.push(made.pop());
          return answer();
        },
        redo() {
          made.push(undone.pop());
          return answer();
        },
        clear() {
          made.length = 0;
          undone.length = 0;
          return answer();
        },
      };
    };
    const opened = (number, which) => {
      if (open.number !== number) open = { number, sessions: new Map() };
      if (!open.sessions.has(which)) open.sessions.set(which, session(number, which));
      return open.sessions.get(which);
    };
    // What is asked of a frame opens it; what is only read of one does not.
    const frame = (number, which) => {
      const found = () => (open.number === number ? open.sessions.get(which) : undefined);
      return {
        get result() {
          return found()?.result ?? null;
        },
        get gestures() {
          return found()?.gestures ?? [];
        },
        get canUndo() {
          return found()?.canUndo ?? false;
        },
        get canRedo() {
          return found()?.canRedo ?? false;
        },
        make: (gesture, level) => opened(number, which).make(gesture, level),
        candidate: (x, y, level) => opened(number, which).candidate(x, y, level),
        undo: () => opened(number, which).undo(),
        redo: () => opened(number, which).redo(),
        clear: () => opened(number, which).clear(),
      };
    };

    return {
      get touched() {
        return touched();
      },
      states: async () =>
        things.map((thing) =>
          Uint8Array.from({ length }, (_, number) => {
            const { known, present } = thingOf(thing, number);
            return known ? 1 + Number(present) : 0;
          }),
        ),
      result: async (number) => resultOf(number),
      frame: (number, which = 0) => frame(number, which),
      async *propagate({ signal } = {}) {
        for (let number = 0; number < length; number++) {
          signal?.throwIfAborted();
          const pixels = await pixelsOf(number);
          for (const { color, given, carried } of things)
            if (!given.has(number)) carried.set(number, seen(pixels, color, []));
          await new Promise((resolve) => setTimeout(resolve, 10));
          yield resultOf(number);
        }
      },
      close: () => undefined,
    };
  };
}
