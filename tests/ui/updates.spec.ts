// Updates of a plugin: how far it is brought by itself, what waits for somebody, and what came of it.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { ask, BINARY, createUser, expect, operate, readable, signIn, type Site, test } from './site';

// Its plugins are published here, which would be in the way of what other specs count.
test.use({ model: false, settings: { RESOFTAI_MIRROR_SERVE: 'true' } });

const PASSWORD = 'five green doors stand open';
const CODE = ['load(self, context)', 'activate(self)', 'deactivate(self)', 'unload(self)']
  .map((method) => `    def ${method}:\n        return True\n`)
  .reduce((code, method) => code + method, 'from resoftai.plugins.base import Plugin\nclass Main(Plugin):\n');

/** Has the operator hand a version in, approves it, and waits until the marketplace lists it. */
async function publish(page: Page, site: Site, version: string, more: object): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'resoftai-update-'));
  const folder = join(dir, 'spanner');
  mkdirSync(folder);
  const manifest = {
    slug: 'spanner',
    name: 'Spanner',
    version,
    entry_point: 'main.py:Main',
    license: 'MIT',
  };
  const whole = {
    ...manifest,
    description: 'Turns nuts.',
    category: 'utility',
    ...more,
  };
  writeFileSync(join(folder, 'plugin.json'), JSON.stringify(whole));
  writeFileSync(join(folder, 'main.py'), CODE);
  writeFileSync(
    join(folder, 'README.md'),
    '# Spanner\n\nTurns nuts of every size, and is set up by itself.\n',
  );
  execFileSync(BINARY, ['--data-dir', join(dir, 'nowhere'), 'plugin', 'pack', folder], { cwd: dir, env: {} });
  operate(site, ['plugin', 'submit', join(dir, `spanner-${version}.rplugin`)]);
  rmSync(dir, { recursive: true });
  const { items } = await ask(page, 'GET', '/api/marketplace/submissions?status=in_review');
  await ask(page, 'PUT', `/api/marketplace/submissions/${items[0].id}/status`, {
    status: 'published',
  });
  const listed = async () => (await ask(page, 'GET', '/api/marketplace/plugins/spanner')).version;
  await expect.poll(listed).toBe(version);
}

test('a plugin is updated as far as was said, and what asks for more waits', async ({ page, site }) => {
  test.setTimeout(240_000);
  createUser(site, 'mechanic', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'mechanic', PASSWORD);
  // Nothing comes by itself while this looks on.
  const far = (new Date().getUTCDay() + 3) % 7;
  const day = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'][far];
  const hours = { days: [day], from: '03:00', to: '05:00' };
  expect((await ask(page, 'PUT', '/api/marketplace/updates/window', hours)).open).toBe(false);
  await publish(page, site, '1.0.0', {});
  const installed = await ask(page, 'POST', '/api/marketplace/plugins/spanner/install', {});
  expect(installed.steps).toHaveLength(1);
  await page.goto('/plugins/spanner');
  await page.getByRole('navigation', { name: 'Plugin' }).getByRole('link', { name: 'Updates' }).click();
  await expect(page.getByText('Up to date')).toBeVisible();
  await expect(page.getByText('No update yet')).toBeVisible();
  await page.getByLabel('Comes in by itself').selectOption('patch');
  await expect(page.getByText('The policy is saved.')).toBeVisible();

  await publish(page, site, '1.0.1', {});
  await page.reload();
  await expect(page.getByLabel('Comes in by itself')).toHaveValue('patch');
  await expect(page.getByText('Ready', { exact: true })).toBeVisible();
  await page.getByRole('button', { name: 'Update now' }).click();
  await expect(page.getByText('1.0.1 is at work.')).toBeVisible();
  const history = page.getByRole('table');
  await expect(history.getByRole('row', { name: /1\.0\.0 1\.0\.1 Updated/ })).toBeVisible();

  await publish(page, site, '1.1.0', {
    capabilities: { http: ['api.example.org'] },
  });
  await page.reload();
  await expect(page.getByText('Held by the policy')).toBeVisible();
  await page.getByRole('button', { name: 'Update now' }).click();
  await expect(page.getByText('Waits for approval')).toBeVisible();
  await expect(page.getByText(/^Send requests to api\.example\.org/)).toBeVisible();
  await readable(page);
  await page.getByRole('button', { name: 'Approve 1.1.0' }).click();
  await expect(page.getByText('1.1.0 is approved.')).toBeVisible();
  await page.getByRole('button', { name: 'Update now' }).click();
  await expect(page.getByText('1.1.0 is at work.')).toBeVisible();
  await expect(history.getByRole('row', { name: /1\.0\.1 1\.1\.0 Updated/ })).toBeVisible();
  await expect(history.getByRole('row', { name: /1\.0\.1 1\.1\.0 Waited/ })).toBeVisible();
});
