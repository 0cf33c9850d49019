import { pixelOf } from "./diffusion/rounding";

const page = document.querySelector("#page");
if (page) page.textContent = `The middle of the range is ${pixelOf(0)} of 255.`;
