/** pycocotools' encoding, from its definition. */
export function encodeRle(mask: Uint8Array, height: number, width: number): string {
  const runs: number[] = [0];
  for (let i = 0; i < mask.length; i++) {
    const value = mask[(i % height) * width + Math.floor(i / height)]!;
    if (value !== (runs.length - 1) % 2) runs.push(0);
    runs[runs.length - 1]! += 1;
  }
  return runs
    .map((run, i) => (i > 2 ? run - runs[i - 2]! : run))
    .map((number) => {
      let text = "";
      for (let more = true; more; ) {
        let bits = number & 31;
        number >>= 5;
        more = bits & 16 ? number !== -1 : number !== 0;
        if (more) bits |= 32;
        text += String.fromCharCode(bits + 48);
      }
      return text;
    })
    .join("");
}
