import { expect, test } from "vitest";
import { widened } from "../../src/worker/widen";

/** A field with a length, of a protocol buffer. */
function delimited(number: number, content: number[]): number[] {
  const { length } = content;
  const size = length < 128 ? [length] : [(length & 127) | 128, length >> 7];
  return [(number << 3) | 2, ...size, ...content];
}

function tensor(type: number, name: string, raw: number[]): number[] {
  const letters = Array.from(name, (letter) => letter.charCodeAt(0));
  return [0x08, 100, 0x10, type, ...delimited(8, letters), ...delimited(9, raw)];
}

const bytesOf = (values: Int16Array | Float32Array): number[] => [...new Uint8Array(values.buffer)];

test("int16 weights become float32 of the same values, and the rest stays", () => {
  const values = Array.from({ length: 100 }, (_, i) => 300 * (i - 50));
  const model = (weights: number[]): number[] => [
    0x08,
    0x96,
    0x01, // A varint of two bytes.
    ...delimited(7, [
      ...delimited(1, [1, 2, 3]),
      ...delimited(5, weights),
      ...delimited(5, tensor(1, "other", [0, 0, 128, 63])),
    ]),
    ...delimited(8, [9, 9]),
  ];
  const narrow = tensor(5, "weights", bytesOf(Int16Array.from(values)));
  const wide = tensor(1, "weights", bytesOf(Float32Array.from(values)));
  expect([...widened(Uint8Array.from(model(narrow)))]).toEqual(model(wide));
});

test("a model without int16 weights stays", () => {
  const model = delimited(7, delimited(5, tensor(1, "w", [0, 0, 128, 63])));
  expect([...widened(Uint8Array.from(model))]).toEqual(model);
});

test("what is no protocol buffer is refused", () => {
  expect(() => widened(Uint8Array.of(7, 7, 7))).toThrow("not an ONNX file");
});
