// Packages that tests make, alone or in a bundle of a repository, and the way past the page to import one.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Page } from '@playwright/test';
import { ask, BINARY, expect } from './site';

export const CODE = [
  'from resoftai.plugins.base import Plugin',
  'class Main(Plugin):',
  '    def load(self, context):',
  '        return True',
  '    def activate(self):',
  '        return True',
  '    def deactivate(self):',
  '        return True',
  '    def unload(self):',
  '        return True',
  '',
].join('\n');
export type Package = {
  slug: string;
  version: string;
  name: string;
  files?: Record<string, string | Buffer>;
} & Record<string, unknown>;

/** Runs commands in a folder, which goes afterwards. */
function inFolder<T>(work: (dir: string, resoftai: (...args: string[]) => void) => T): T {
  const dir = mkdtempSync(join(tmpdir(), 'resoftai-market-'));
  const made = work(dir, (...args) => {
    execFileSync(BINARY, ['--data-dir', join(dir, 'nowhere'), ...args], { cwd: dir, env: {} });
  });
  rmSync(dir, { recursive: true });
  return made;
}

/** Packs a plugin; the name of its file. */
function pack(
  dir: string,
  resoftai: (...args: string[]) => void,
  { files = {}, ...manifest }: Package,
): string {
  const folder = join(dir, `${manifest.slug}-${manifest.version}`);
  const whole = { category: 'utility', entry_point: 'main.py:Main', ...manifest };
  const all = { 'plugin.json': JSON.stringify(whole), 'main.py': CODE, ...files };
  for (const [path, content] of Object.entries(all)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  resoftai('plugin', 'pack', folder);
  return `${manifest.slug}-${manifest.version}.rplugin`;
}

/** A packed plugin as a field for files takes it. */
export function packageOf(made: Package): { name: string; mimeType: string; buffer: Buffer } {
  return inFolder((dir, resoftai) => {
    const name = pack(dir, resoftai, made);
    return { name, mimeType: 'application/octet-stream', buffer: readFileSync(join(dir, name)) };
  });
}

/** A repository with these plugins, and the bundle of it. */
function bundleOf(packages: Package[]): { root: string; bundle: Buffer } {
  return inFolder((dir, resoftai) => {
    resoftai('mirror', 'init', 'repo');
    for (const one of packages) resoftai('mirror', 'add', 'repo', pack(dir, resoftai, one));
    resoftai('mirror', 'sign', 'repo');
    resoftai('mirror', 'export', 'repo', '--to', 'bundle.tar');
    return {
      root: readFileSync(join(dir, 'repo/metadata/1.root.json'), 'utf8'),
      bundle: readFileSync(join(dir, 'bundle.tar')),
    };
  });
}

/** Brings them in past the page, and waits until the marketplace lists them. */
export async function stock(page: Page, packages: Package[]): Promise<void> {
  const { root, bundle } = bundleOf(packages);
  await ask(page, 'POST', '/api/mirror/trust', { repository: 'vendor', root, replace: true });
  const headers = { 'content-type': 'application/x-tar', origin: new URL(page.url()).origin };
  const reply = await page.request.post('/api/mirror/import', { headers, data: bundle });
  expect(reply.status(), await reply.text()).toBe(200);
  const listed = async () => (await ask(page, 'GET', '/api/marketplace/plugins?limit=100')).items.length;
  await expect.poll(listed).toBe(new Set(packages.map(({ slug }) => slug)).size);
}
