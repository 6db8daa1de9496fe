// The mirror as administrators see it: a bundle is brought in by file, after they saw what it would change.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createUser, expect, readable, signIn, test } from './site';

test.use({ model: false });

const PASSWORD = 'nine quiet ships leave port';
const ROOT = join(import.meta.dirname, '../..');
const BINARY = join(ROOT, 'target/x86_64-unknown-linux-gnu/debug/resoftai');

test('a bundle is imported after its changes were shown', async ({ page, site }) => {
  const dir = mkdtempSync(join(tmpdir(), 'resoftai-mirror-'));
  const resoftai = (...args: string[]) =>
    execFileSync(BINARY, ['--data-dir', site.dir, ...args], { cwd: dir, env: {} });
  resoftai('mirror', 'init', 'repo');
  resoftai('plugin', 'pack', join(ROOT, 'plugin-sdk/examples/file-headers'));
  const plugin = readdirSync(dir).find((name) => name.endsWith('.rplugin'))!;
  writeFileSync(join(dir, 'PYSEC-2024-1.json'), '{"id": "PYSEC-2024-1"}');
  resoftai('mirror', 'add', 'repo', plugin);
  resoftai('mirror', 'add', 'repo', 'PYSEC-2024-1.json', '--kind', 'advisory');
  resoftai('mirror', 'sign', 'repo');
  resoftai('mirror', 'export', 'repo', '--to', 'bundle.tar');

  createUser(site, 'librarian', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'librarian', PASSWORD);
  await page.goto('/site/mirror');
  await expect(page.getByRole('heading', { name: 'No repository is trusted' })).toBeVisible();
  await readable(page);
  resoftai('mirror', 'trust', 'repo/metadata/1.root.json', '--yes');
  await page.reload();
  await expect(page.getByText('Nothing was imported yet')).toBeVisible();

  await page.getByRole('button', { name: 'Import a bundle' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('File').setInputFiles({
    name: 'wrong.tar',
    mimeType: 'application/x-tar',
    buffer: Buffer.from('this is no bundle'),
  });
  await dialog.getByRole('button', { name: 'Show what would change' }).click();
  await expect(dialog.getByText('Not imported.')).toBeVisible();
  await dialog.getByLabel('File').setInputFiles(join(dir, 'bundle.tar'));
  await dialog.getByRole('button', { name: 'Show what would change' }).click();
  await expect(dialog.getByRole('status')).toContainText('2 changes');
  await expect(dialog.getByRole('status')).toContainText('plugins/file-headers/');
  await readable(page);
  await dialog.getByRole('button', { name: 'Import', exact: true }).click();
  await expect(page.getByText('The mirror is on state 2.')).toBeVisible();

  await expect(page.getByText('librarian', { exact: true }).first()).toBeVisible();
  await expect(page.getByRole('row').filter({ hasText: 'PYSEC-2024-1' })).toContainText('Advisories');
  await page.getByRole('searchbox', { name: 'Search the mirror' }).fill('headers');
  await expect(page.getByRole('row').filter({ hasText: 'PYSEC-2024-1' })).toHaveCount(0);
  await expect(page.getByRole('row').filter({ hasText: 'file-headers' })).toBeVisible();
  await readable(page);
  rmSync(dir, { recursive: true });
});

test('the mirror is the business of who administers the site', async ({ signedIn: page }) => {
  await page.goto('/site/mirror');
  await expect(page.getByRole('heading', { name: 'No such page' })).toBeVisible();
});
