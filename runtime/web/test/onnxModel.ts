/** ONNX models that consist of what the tests need: protobuf, written byte by byte. */

/** A model with one tensor whose data are in another file. */
export function modelWith(location: string): Uint8Array<ArrayBuffer> {
  const entry = [...field(1, text("location")), ...field(2, text(location))];
  const tensor = field(13, entry);
  const graph = field(5, tensor);
  return Uint8Array.from(field(7, graph));
}

function text(value: string): number[] {
  return [...new TextEncoder().encode(value)];
}

/** A length-delimited field of at most 127 bytes. */
function field(number: number, content: readonly number[]): number[] {
  return [number * 8 + 2, content.length, ...content];
}
