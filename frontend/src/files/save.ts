/** Files that a person saves. */

import type { Pixels } from "./gif";

/** Return the image that a canvas shows. */
export function pixelsOf(canvas: HTMLCanvasElement): Pixels {
  return context(canvas).getImageData(0, 0, canvas.width, canvas.height);
}

/** Show an image on a canvas of its size. */
export function show(canvas: HTMLCanvasElement, data: Uint8ClampedArray<ArrayBuffer>): void {
  context(canvas).putImageData(new ImageData(data, canvas.width, canvas.height), 0, 0);
}

/** Return an empty canvas. */
export function newCanvas(width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

export function context(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  return canvas.getContext("2d", { willReadFrequently: true })!;
}

/** Return a canvas as PNG. */
export function png(canvas: HTMLCanvasElement): Promise<Blob> {
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => {
      if (blob) resolve(blob);
      else reject(new Error("the browser made no PNG of the canvas"));
    }, "image/png");
  });
}

/** Offer a file to save. */
export function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  // The download takes the address over in this task or a later one.
  setTimeout(() => {
    URL.revokeObjectURL(link.href);
  }, 60_000);
}
