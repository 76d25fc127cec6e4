/**
 * Which other files an ONNX model asks for.
 *
 * An ONNX file is a protobuf message; a tensor in it may say that its data lie in another file. The
 * walk below follows only the fields that lead to tensors.
 */

type Message =
  | "model"
  | "training"
  | "graph"
  | "function"
  | "node"
  | "attribute"
  | "sparseTensor"
  | "tensor"
  | "externalData";

/** Message -> field number -> message. Numbers from onnx.proto3. */
const FIELDS: Readonly<Record<Message, Readonly<Record<number, Message>>>> = {
  model: { 7: "graph", 20: "training", 25: "function" },
  training: { 1: "graph", 2: "graph" },
  graph: { 1: "node", 5: "tensor", 15: "sparseTensor" },
  function: { 7: "node", 11: "attribute" },
  node: { 5: "attribute" },
  attribute: {
    5: "tensor",
    6: "graph",
    10: "tensor",
    11: "graph",
    22: "sparseTensor",
    23: "sparseTensor",
  },
  sparseTensor: { 1: "tensor", 2: "tensor" },
  tensor: { 13: "externalData" },
  externalData: {},
};

/** How a field is encoded: protobuf's wire types. */
const [VARINT, FIXED64, LENGTH_DELIMITED, FIXED32] = [0, 1, 2, 5];

/** The values of every `location` of external data; `SyntaxError` for broken protobuf. */
export function externalLocations(model: Uint8Array): Set<string> {
  const locations = new Set<string>();
  const toVisit: [Message, Uint8Array][] = [["model", model]];
  for (let next = toVisit.pop(); next !== undefined; next = toVisit.pop()) {
    const [message, data] = next;
    const fields = lengthDelimited(data);
    if (message === "externalData") {
      const entry = new Map(fields);
      if (textOf(entry.get(1)) === "location") locations.add(textOf(entry.get(2)));
      continue;
    }
    for (const [field, content] of fields) {
      const inner = FIELDS[message][field];
      if (inner !== undefined) toVisit.push([inner, content]);
    }
  }
  return locations;
}

function textOf(content: Uint8Array | undefined): string {
  return new TextDecoder().decode(content);
}

/** The [field number, content] of every length-delimited field of a message. */
function lengthDelimited(data: Uint8Array): [number, Uint8Array][] {
  const fields: [number, Uint8Array][] = [];
  let position = 0;
  const varint = (): number => {
    let [value, weight] = [0, 1];
    for (let bytes = 0; bytes < 10; bytes++) {
      const byte = data[position++];
      if (byte === undefined) throw new SyntaxError("it ends inside a number");
      value += (byte & 0x7f) * weight;
      weight *= 128;
      if (byte < 0x80) return value;
    }
    throw new SyntaxError("it has a number of more than ten bytes");
  };
  while (position < data.length) {
    const tag = varint() % 2 ** 32; // as protobuf's own parsers do
    const kind = tag % 8;
    if (kind === VARINT) varint();
    else if (kind === FIXED32) position += 4;
    else if (kind === FIXED64) position += 8;
    else if (kind === LENGTH_DELIMITED) {
      const length = varint();
      if (position + length > data.length) throw new SyntaxError("a field ends beyond the file");
      fields.push([Math.floor(tag / 8), data.subarray(position, position + length)]);
      position += length;
    } else throw new SyntaxError("it has a field of unknown kind");
  }
  return fields;
}
