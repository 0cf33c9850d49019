/** The controls: what a person sets becomes settings, and settings are shown. */

import { SAMPLERS } from "../diffusion/samplers/table";
import { SCHEDULES } from "../diffusion/schedules/table";
import { networkEvaluations } from "../diffusion/settings";
import { THRESHOLDS } from "../diffusion/thresholds";
import type { Manifest } from "../model/manifest";
import { button, el, visible } from "./dom";
import { type Field, menu, numberBox, slider, tick } from "./fields";
import { changed } from "./link";
import { counted } from "./numbers";
import { canGuide, MAX_COLUMNS, MAX_ROWS, type Mix, ownSettings, percent, type Settings } from "./settings";

const MANY_STEPS = 50;
const MUCH_GUIDANCE = 6;

/** Shows one part of settings. */
type Show = (settings: Settings) => void;

export class Controls {
  private settings: Settings;
  private readonly shows: Show[] = [];

  /**
   * @param place - Where they go.
   * @param onChange - Told of settings that a person made.
   */
  constructor(
    place: HTMLElement,
    private readonly manifest: Manifest,
    private readonly onChange: (settings: Settings) => void,
  ) {
    this.settings = ownSettings(manifest);
    const labeled = manifest.classes.length > 0;
    place.append(
      this.seed(),
      this.steps(),
      ...(canGuide(manifest) ? [this.guidance()] : []),
      this.rows(),
      ...(labeled ? [this.mix()] : []),
      this.more(labeled),
      this.foot(),
    );
  }

  /** Show settings. */
  show(settings: Settings): void {
    this.settings = settings;
    for (const show of this.shows) show(settings);
  }

  private change(change: Partial<Settings>): void {
    this.show({ ...this.settings, ...change });
    this.onChange(this.settings);
  }

  /** @throws RangeError If it is out of range, such as sigma_min above sigma_max. */
  private sampling(change: Readonly<Record<string, unknown>>): void {
    this.change({ sampling: changed(this.settings.sampling, change) });
  }

  private add<T>(field: Field<T>, of: (settings: Settings) => T): HTMLElement {
    this.shows.push((settings) => {
      field.set(of(settings));
    });
    return field.element;
  }

  private seed(): HTMLElement {
    const box = numberBox("Seed", { min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 }, (seed) => {
      this.change({ seed });
    });
    const next = button("Next seed", () => {
      const { seed } = this.settings;
      this.change({ seed: seed < Number.MAX_SAFE_INTEGER ? seed + 1 : 0 });
    });
    return el(
      "div",
      { class: "seed" },
      this.add(box, ({ seed }) => seed),
      next,
    );
  }

  private steps(): HTMLElement {
    const words = (steps: number): string => {
      const count = networkEvaluations(changed(this.settings.sampling, { steps }));
      return `${steps} (${counted(count, "evaluation")})`;
    };
    const field = slider("Steps", { min: 1, max: MANY_STEPS, step: 1 }, words, (steps) => {
      this.sampling({ steps });
    });
    return this.add(field, ({ sampling }) => sampling.steps);
  }

  private guidance(): HTMLElement {
    const words = (scale: number): string => (scale === 1 ? "1 (none)" : `${Number(scale.toFixed(2))}`);
    const field = slider("Guidance", { min: 0, max: MUCH_GUIDANCE, step: 0.1 }, words, (guidance) => {
      this.sampling({ guidance: Number(guidance.toFixed(6)) });
    });
    return this.add(field, ({ sampling }) => sampling.guidance);
  }

  private rows(): HTMLElement {
    const range = { min: 1, max: MAX_ROWS / 2, step: 1 };
    const field = slider("Rows", range, String, (rows) => {
      this.change({ rows });
    });
    return this.add(field, ({ rows }) => rows);
  }

  private mix(): HTMLElement {
    const beginning: Mix = { first: 0, second: 1, share: 0.5 };
    const present = (): Mix => this.settings.mix ?? beginning;
    const set = (change: Partial<Mix>): void => {
      this.change({ mix: { ...present(), ...change } });
    };
    const names = this.manifest.classes.map((name, label) => [`${label}`, name] as const);
    const first = menu("First class", names, (label) => { set({ first: Number(label) }); }); // prettier-ignore
    const second = menu("Second class", names, (label) => { set({ second: Number(label) }); }); // prettier-ignore
    const share = slider("How much of the second", { min: 0, max: 1, step: 0.05 }, percent, (value) => {
      set({ share: Number(value.toFixed(4)) });
    });
    const parts = el(
      "div",
      { class: "mix" },
      this.add(first, ({ mix }) => `${(mix ?? beginning).first}`),
      this.add(second, ({ mix }) => `${(mix ?? beginning).second}`),
      this.add(share, ({ mix }) => (mix ?? beginning).share),
    );
    this.shows.push(({ mix }) => {
      visible(parts, mix !== null);
    });
    const ticked = tick("A column of two classes, mixed", (on) => {
      this.change({ mix: on ? beginning : null });
    });
    return el(
      "div",
      { class: "group-of-fields" },
      this.add(ticked, ({ mix }) => mix !== null),
      parts,
    );
  }

  private more(labeled: boolean): HTMLElement {
    return el(
      "details",
      {},
      el("summary", {}, "More settings"),
      el(
        "div",
        { class: "fields" },
        ...this.methods(),
        ...this.levels(),
        ...(labeled ? [this.classes()] : []),
      ),
    );
  }

  private methods(): HTMLElement[] {
    const titled = (table: object): (readonly [string, string])[] =>
      Object.entries(table as Record<string, { title: string }>).map(
        ([name, { title }]) => [name, `${name}: ${title}`] as const,
      );
    const take =
      (name: string) =>
      (value: string): void => {
        this.sampling({ [name]: value });
      };
    return [
      this.add(menu("Sampler", titled(SAMPLERS), take("sampler")), ({ sampling }) => sampling.sampler),
      this.add(menu("Schedule", titled(SCHEDULES), take("schedule")), ({ sampling }) => sampling.schedule),
      this.add(
        menu("Threshold", [["none", "none"], ...titled(THRESHOLDS)], take("threshold")), // prettier-ignore
        ({ sampling }) => sampling.threshold,
      ),
    ];
  }

  private levels(): HTMLElement[] {
    const box = (title: string, name: "sigma_min" | "shift"): HTMLElement =>
      this.add(
        numberBox(title, { min: 0, step: "any" }, (value) => {
          this.sampling({ [name]: value });
        }),
        ({ sampling }) => sampling[name],
      );
    const fields = [box("Last noise level", "sigma_min")];
    const shift = box("Shift of the flow schedule", "shift");
    this.shows.push(({ sampling }) => {
      visible(shift, sampling.schedule === "flow");
    });
    return canGuide(this.manifest) ? [...fields, shift, ...this.interval()] : [...fields, shift];
  }

  private interval(): HTMLElement[] {
    const range = { min: 0, step: "any" } as const;
    const low = numberBox("Guidance above noise level", range, (value) => {
      this.sampling({ guidance_interval: [value, this.settings.sampling.guidance_interval[1]] });
    });
    const upTo = (value: number | null): void => {
      this.sampling({ guidance_interval: [this.settings.sampling.guidance_interval[0], value] });
    };
    const high = numberBox("Guidance up to noise level", range, upTo, () => { upTo(null); }); // prettier-ignore
    return [
      this.add(low, ({ sampling }) => sampling.guidance_interval[0]),
      this.add(high, ({ sampling }) => {
        const end = sampling.guidance_interval[1];
        return end === Infinity ? null : end;
      }),
    ];
  }

  private classes(): HTMLElement {
    const ticks = this.manifest.classes.map((name, label) => {
      const field = tick(name, (on) => {
        const { classes } = this.settings;
        const others = classes.filter((each) => each !== label);
        const chosen = on ? [...others, label].sort((a, b) => a - b) : others;
        // A grid has at least one column, and no more than can be seen.
        if (chosen.length === 0 || chosen.length > MAX_COLUMNS) this.show(this.settings);
        else this.change({ classes: chosen });
      });
      return this.add(field, ({ classes }) => classes.includes(label));
    });
    return el("fieldset", {}, el("legend", {}, "Classes"), el("div", { class: "ticks" }, ...ticks));
  }

  private foot(): HTMLElement {
    const reset = button("The run's own settings", () => {
      this.change({ ...ownSettings(this.manifest), seed: this.settings.seed });
    });
    return el("div", { class: "foot" }, reset);
  }
}
