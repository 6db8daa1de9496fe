// The pages in a real browser, on the real binary. Debian's Chromium: no browser is downloaded.
import { defineConfig } from '@playwright/test';

export default defineConfig({
  testDir: '.',
  // One site, one run on a small machine: tests follow each other.
  workers: 1,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  reporter: 'list',
  outputDir: '../../target/ui-test-results',
  use: {
    browserName: 'chromium',
    viewport: { width: 1280, height: 860 },
    // Colours are looked at as they come to rest, also right after a change of theme.
    contextOptions: { reducedMotion: 'reduce' },
    launchOptions: {
      executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
      // Containers run tests as root, for whom Chromium's own sandbox cannot start.
      args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
    },
  },
});
