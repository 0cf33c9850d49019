/**
 * Weights stored in int16 as float32, in an ONNX file.
 *
 * onnxruntime's build for WebGPU has no kernel that casts from int16, its build for WebAssembly has. Written as
 * float32 the values are the same, and the graph's own Cast has nothing left to do.
 *
 * An ONNX file is a protocol buffer: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */

/** Numbers of the fields: ModelProto.graph, GraphProto.initializer, TensorProto.data_type and .raw_data. */
const GRAPH = 7;
const INITIALIZER = 5;
const DATA_TYPE = 2;
const RAW_DATA = 9;
/** TensorProto.DataType. */
const FLOAT = 1;
const INT16 = 5;

/** One field of a message. */
interface Field {
  readonly number: number;
  /** Whole, with its tag. */
  readonly bytes: Uint8Array;
  /** Content of a field with a length; empty for others. */
  readonly content: Uint8Array;
  /** Value of a varint; 0 for others. */
  readonly value: number;
}

/** Return an ONNX file whose int16 weights are float32. */
export function widened(model: Uint8Array): Uint8Array<ArrayBuffer> {
  return joined(rewritten(model, GRAPH, (graph) => joined(rewritten(graph, INITIALIZER, tensor))));
}

function rewritten(
  message: Uint8Array,
  number: number,
  rewrite: (content: Uint8Array) => Uint8Array,
): Uint8Array[] {
  return fieldsOf(message).flatMap((field) =>
    field.number === number ? delimited(number, rewrite(field.content)) : field.bytes,
  );
}

function tensor(message: Uint8Array): Uint8Array {
  const fields = fieldsOf(message);
  const int16 = fields.some(({ number, value }) => number === DATA_TYPE && value === INT16);
  if (!int16) return message;
  return joined(
    fields.flatMap((field) => {
      if (field.number === DATA_TYPE) return Uint8Array.of((DATA_TYPE << 3) | 0, FLOAT);
      return field.number === RAW_DATA ? delimited(RAW_DATA, floats(field.content)) : field.bytes;
    }),
  );
}

/** Return little-endian int16 as little-endian float32. */
function floats(raw: Uint8Array): Uint8Array {
  const count = raw.length / 2;
  const from = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const to = new DataView(new ArrayBuffer(4 * count));
  for (let i = 0; i < count; i++) to.setFloat32(4 * i, from.getInt16(2 * i, true), true);
  return new Uint8Array(to.buffer);
}

function fieldsOf(message: Uint8Array): Field[] {
  const fields: Field[] = [];
  const empty: Uint8Array = message.subarray(0, 0);
  let at = 0;
  const varint = (): number => {
    // Numbers of fields, lengths and types fit into a double; of larger values only the length matters.
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = message[at++]!;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const start = at;
    const tag = varint();
    const wire = tag & 7;
    let value = 0;
    let content: Uint8Array = empty;
    if (wire === 0) value = varint();
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else if (wire === 2) {
      const length = varint();
      content = message.subarray(at, at + length);
      at += length;
    } else throw new Error("the model is not an ONNX file");
    fields.push({ number: Math.floor(tag / 8), bytes: message.subarray(start, at), content, value });
  }
  return fields;
}

function delimited(number: number, content: Uint8Array): Uint8Array[] {
  const head = [(number << 3) | 2];
  let length = content.length;
  for (; length > 127; length = Math.floor(length / 128)) head.push((length % 128) + 128);
  return [Uint8Array.from([...head, length]), content];
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
