import type { Browser } from "playwright-core";
import { afterAll, beforeAll, inject } from "vitest";
import { launch } from "./browser";
import { plainServer, type Server } from "./servers";

/** What the tests of a file or of a group share. */
export interface Stage {
  server: Server;
  browser: Browser;
}

/** Open a browser and a plain server of all tiny runs before the tests that follow, and close both behind them. */
export function staged(): Stage {
  const stage = {} as Stage;
  beforeAll(async () => {
    stage.server = await plainServer(inject("pages"));
    stage.browser = await launch();
  });
  afterAll(async () => {
    await stage.browser.close();
    await stage.server.close();
  });
  return stage;
}
