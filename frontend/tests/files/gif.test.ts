import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { gif, type Pixels } from "../../src/files/gif";
import { indexed } from "../../src/files/palette";
import { decode } from "./decode-gif";

function image(width: number, height: number, color: (i: number) => [number, number, number]): Pixels {
  const data = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < width * height; i++) data.set([...color(i), 255], 4 * i);
  return { width, height, data };
}

/** Numbers that look random, the same each time. */
function noise(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24;
}

describe("an animation", () => {
  test("of up to 256 colors is decoded exactly, enlarged", () => {
    const images = [
      image(5, 4, (i) => [i, 255 - i, 7]),
      image(5, 4, () => [1, 2, 3]),
      image(5, 4, (i) => [0, 0, i % 2 ? 255 : 0]),
    ];
    const decoded = decode(gif(images.map((each) => ({ image: each, delay: 12 })), 3)); // prettier-ignore
    expect(decoded.width).toBe(15);
    expect(decoded.frames).toHaveLength(3);
    for (const [n, frame] of decoded.frames.entries()) {
      expect(frame.delay).toBe(12);
      const { width, data } = images[n]!;
      frame.rgb.forEach((rgb, i) => {
        const at = Math.floor(i / 15 / 3) * width + Math.floor((i % 15) / 3);
        expect(rgb).toEqual([...data.slice(4 * at, 4 * at + 3)]);
      });
    }
  });

  test("fills the table of codes and starts it again", () => {
    const random = noise(1);
    const many = image(200, 200, () => [random(), 0, 0]);
    const { frames } = decode(gif([{ image: many, delay: 1 }], 1));
    expect(frames[0]!.rgb.map(([red]) => red)).toEqual(
      Array.from({ length: 40000 }, (_, i) => many.data[4 * i]),
    );
  });

  test("of more than 256 colors is near the image", () => {
    const random = noise(2);
    const full = image(40, 40, (i) => [i % 40 * 6, Math.floor(i / 40) * 6, random() >> 3]); // prettier-ignore
    const { frames } = decode(gif([{ image: full, delay: 1 }], 1));
    const errors = frames[0]!.rgb.flatMap((rgb, i) =>
      rgb.map((value, c) => Math.abs(value - full.data[4 * i + c]!)),
    );
    expect(errors.reduce((a, b) => a + b) / errors.length).toBeLessThan(6);
  });

  const python = ["../.venv/bin/python", "python3"].find((each) => {
    try {
      execFileSync(each, ["-c", "import PIL"], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  });

  test.skipIf(!python)("is what Pillow reads", () => {
    const random = noise(3);
    const images = [image(32, 32, (i) => [i >> 2, 0, 0]), image(32, 32, () => [random(), 9, 9])];
    const bytes = gif(images.map((each) => ({ image: each, delay: 5 })), 2); // prettier-ignore
    const program = `
import io, sys
from PIL import Image, ImageSequence
gif = Image.open(io.BytesIO(sys.stdin.buffer.read()))
for frame in ImageSequence.Iterator(gif):
    sys.stdout.write(frame.convert("RGB").resize((32, 32), Image.Resampling.NEAREST).tobytes().hex() + "\\n")
`;
    const lines = execFileSync(python!, ["-c", program], { input: bytes }).toString().trim().split("\n");
    const expected = images.map(({ data }) => {
      const rgb = data.filter((_, i) => i % 4 !== 3);
      return Buffer.from(rgb).toString("hex");
    });
    expect(lines).toEqual(expected);
  });
});

test("a palette has each color of an image with few", () => {
  const { palette, indices } = indexed(image(4, 1, (i) => [i % 2, 0, 0]).data);
  expect(palette).toHaveLength(6);
  expect(indices[0]).toBe(indices[2]);
});
