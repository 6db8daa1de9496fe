// Plugins that tests make, and the way past the page to bring one in.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, type Page } from '@playwright/test';

/** An archive of a Python plugin's folder: its `plugin.json` and its one file, `main.py`. */
export function packed(manifest: { slug: string }, code: string[]): Buffer {
  const dir = mkdtempSync(join(tmpdir(), 'resoftai-plugin-'));
  const folder = join(dir, manifest.slug);
  mkdirSync(folder);
  writeFileSync(join(folder, 'plugin.json'), JSON.stringify(manifest));
  writeFileSync(join(folder, 'main.py'), `${code.join('\n')}\n`);
  const archive = execFileSync('tar', ['-C', folder, '-cf', '-', '.']);
  rmSync(dir, { recursive: true });
  return archive;
}

/** An archive of one of the SDK's examples. */
export function example(slug: string): Buffer {
  const folder = join(import.meta.dirname, '../../plugin-sdk/examples', slug);
  return execFileSync('tar', ['-C', folder, '-cf', '-', '.']);
}

/** Brings an archive in with the page's session; in the place of the plugin there is. */
export async function bringIn(page: Page, data: Buffer): Promise<void> {
  const headers = { 'content-type': 'application/x-tar', origin: new URL(page.url()).origin };
  const reply = await page.request.post('/api/plugins/upload?replace=true', { headers, data });
  expect(reply.status(), await reply.text()).toBe(201);
}
