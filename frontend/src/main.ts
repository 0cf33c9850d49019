import { toPixels } from "./diffusion";

const page = document.querySelector("#page");
if (page) page.textContent = `The middle of the range is ${String(toPixels(new Float32Array(1))[0])} of 255.`;
