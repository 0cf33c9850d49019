import { describe, expect, it } from "vitest";

import { DEFAULTS, plainOf, readSampling, SAMPLERS, SCHEDULES, THRESHOLDS } from "../../src/diffusion";
import { golden } from "../helpers/golden";

interface Row {
  table: string;
  name?: string;
  title?: string;
  stages?: number;
  stochastic?: boolean;
}

const rows = golden("tables") as Row[];

function named(table: string): Row[] {
  return rows.filter((row) => row.table === table);
}

describe("tables", () => {
  it("have Python's names, titles and evaluations", () => {
    const own = [
      ...Object.entries(SAMPLERS).map(([name, { sampler, ...row }]) => ({
        table: "samplers",
        name,
        ...row,
      })),
      ...Object.entries(SCHEDULES).map(([name, { title }]) => ({ table: "schedules", name, title })),
      ...Object.entries(THRESHOLDS).map(([name, { title }]) => ({ table: "thresholds", name, title })),
    ];
    expect(own).toEqual(rows.filter((row) => row.table !== "defaults"));
  });
});

describe("readSampling", () => {
  it("takes Python's defaults where nothing is given", () => {
    expect(readSampling({})).toEqual(DEFAULTS);
    const [{ table, ...python } = { table: "" }] = named("defaults");
    expect(plainOf(DEFAULTS)).toEqual(python);
    expect(readSampling(python)).toEqual(DEFAULTS);
  });

  it("gives back what it read", () => {
    const settings = readSampling({ sampler: "heun", guidance_interval: [0.1, 3], churn: { amount: 3 } });
    expect(settings.churn).toEqual({ ...DEFAULTS.churn, amount: 3 });
    expect(readSampling(JSON.parse(JSON.stringify(plainOf(settings))))).toEqual(settings);
  });

  it.each([
    [{ sampler: "newton" }, "sampler is one of euler, "],
    [{ sampler: "toString" }, "sampler is one of euler, "],
    [{ steps: 0 }, "steps is a whole number from 1 to 100000, not 0"],
    [{ steps: 2.5 }, "steps is"],
    [{ steps: "20" }, "steps is"],
    [{ guidance: NaN }, "guidance is a finite number"],
    [{ guidance_interval: [3, 1] }, "guidance_interval is [low, high]"],
    [{ guidance_interval: [3] }, "guidance_interval is [low, high]"],
    [{ sigma_min: 90 }, "sigma_min is above 0 and below sigma_max, which is 80, not 90"],
    [{ percentile: 0 }, "percentile is"],
    [{ threshold: "<img onerror>" }, "threshold is one of none, clip, dynamic, not"],
    [{ guide_length: 0.5 }, "guide_length is"],
    [{ churn: { amount: -1 } }, "churn.amount is at least 0"],
    [{ churn: { scale: [] } }, "churn.scale is"],
    [{ churn: 1 }, "churn"],
    [{ speed: 1 }, "there is no setting speed"],
    [null, "values by their names"],
    [[], "values by their names"],
  ])("refuses %j with its name", (plain, message) => {
    expect(() => readSampling(plain)).toThrow(message);
  });
});
