import { defineConfig } from "vitest/config";

/** The tests in a browser, apart from the others: they need Chromium, Python with the project, and the built page. */
export default defineConfig({
  test: {
    include: ["tests/browser/**/*.test.ts"],
    environment: "node",
    globalSetup: "tests/browser/support/setup.ts",
    // One browser at a time: they share the machine's cores, and two with threads each wait for each other.
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 240_000,
  },
});
