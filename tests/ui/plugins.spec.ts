// Plugins: installed from a file, looked at, set up by a form of their schema, switched off for everybody, taken out.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Page } from '@playwright/test';
import { ask, createUser, expect, readable, signIn, type Site, test } from './site';

test.use({ model: false });

const PASSWORD = 'three old clocks strike noon';

const SCHEMA = {
  type: 'object',
  additionalProperties: false,
  required: ['channel'],
  properties: {
    channel: { type: 'string', description: 'Where it writes.', minLength: 2, pattern: '#.*' },
    token: { type: 'string', title: 'Access token', writeOnly: true },
    loud: { type: 'boolean', default: true },
    tries: { type: 'integer', minimum: 1, maximum: 9, default: 3 },
    level: { enum: ['low', 'high'], default: 'low' },
    events: { type: 'array', items: { enum: ['start', 'end'] } },
    paths: { type: 'array', items: { type: 'string' } },
    mail: { type: 'object', properties: { host: { type: 'string' }, port: { type: 'integer', minimum: 1 } } },
    rules: { type: 'array', items: { type: 'object' } },
  },
};

/** An archive of a plugin that does next to nothing. */
function archive(
  slug: string,
  version: string,
  more: object = {},
): { name: string; mimeType: string; buffer: Buffer } {
  const dir = mkdtempSync(join(tmpdir(), 'resoftai-plugin-'));
  const folder = join(dir, slug);
  mkdirSync(folder);
  const manifest = {
    name: 'Town crier',
    slug,
    version,
    description: 'Tells the town what happens.',
    author: 'Bell & Sons',
    category: 'utility',
    entry_point: 'main.py:Crier',
    config_schema: SCHEMA,
    ...more,
  };
  writeFileSync(join(folder, 'plugin.json'), JSON.stringify(manifest));
  const code = [
    'from resoftai.plugins.base import Plugin',
    'class Crier(Plugin):',
    '    def load(self, context):',
    '        self.context = context',
    '        return True',
    '    def activate(self):',
    '        self.context.hooks.register_action("project.create.after", lambda **_: None, priority=7)',
    '        return True',
    '    def deactivate(self):',
    '        return True',
    '    def unload(self):',
    '        return True',
  ];
  writeFileSync(join(folder, 'main.py'), `${code.join('\n')}\n`);
  const buffer = execFileSync('tar', ['-C', folder, '-cf', '-', '.']);
  rmSync(dir, { recursive: true });
  return { name: `${slug}.tar`, mimeType: 'application/x-tar', buffer };
}

async function asSite(page: Page, site: Site, username: string): Promise<void> {
  createUser(site, username, PASSWORD, ['--role', 'super_admin']);
  await signIn(page, username, PASSWORD);
}

async function install(page: Page, slug: string): Promise<void> {
  await page.goto('/plugins');
  await page.getByRole('button', { name: 'Install a plugin' }).click();
  await page.getByLabel('File').setInputFiles(archive(slug, '1.0.0'));
  await page.getByRole('dialog').getByRole('button', { name: 'Install' }).click();
  await page.getByLabel('Settings it cannot do without').fill('{"channel": "#here"}');
  await page.getByRole('dialog').getByRole('button', { name: 'Install' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Town crier' })).toBeVisible();
}

test('a plugin is installed from a file, replaced, switched off and taken out', async ({ page, site }) => {
  await asSite(page, site, 'fitter');
  await page.goto('/plugins');
  await page.getByRole('button', { name: 'Install a plugin' }).click();
  const dialog = page.getByRole('dialog');
  const broken = { name: 'broken.tar', mimeType: 'application/x-tar', buffer: Buffer.from('no archive') };
  await dialog.getByLabel('File').setInputFiles(broken);
  await dialog.getByRole('button', { name: 'Install' }).click();
  await expect(dialog.getByRole('alert')).toContainText('Not installed.');
  await readable(page);
  await dialog.getByLabel('File').setInputFiles(archive('crier', '1.0.0'));
  await dialog.getByRole('button', { name: 'Install' }).click();
  // What it cannot do without is asked for.
  await expect(dialog.getByLabel('Settings it cannot do without')).toHaveAttribute('aria-invalid', 'true');
  await readable(page);
  await dialog.getByLabel('Settings it cannot do without').fill('{"channel": "#here"}');
  await dialog.getByRole('button', { name: 'Install' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Town crier' })).toBeVisible();
  await expect(page.getByText('Bell & Sons')).toBeVisible();
  await expect(page.getByRole('row').filter({ hasText: 'project.create.after' })).toContainText('7');
  await readable(page);

  await page.getByRole('button', { name: 'Another version' }).click();
  await dialog.getByLabel('File').setInputFiles(archive('crier', '1.1.0'));
  await dialog.getByRole('button', { name: 'Install' }).click();
  await expect(page.getByText('1.1.0', { exact: true })).toBeVisible();
  await page.getByRole('button', { name: 'Switch off everywhere' }).click();
  await expect(page.getByText('Town crier is off.')).toBeVisible();
  await page.getByRole('link', { name: 'Plugins', exact: true }).first().click();
  await expect(page.getByRole('row').filter({ hasText: 'Town crier' })).toContainText('Disabled');
  await readable(page);
  await page.getByRole('link', { name: 'Town crier' }).click();
  await page.getByRole('button', { name: 'Switch on' }).click();
  await expect(page.getByText('Town crier is on.')).toBeVisible();

  await page.getByRole('button', { name: 'Uninstall' }).click();
  await dialog.getByLabel('Type crier to go on').fill('crier');
  await dialog.getByRole('button', { name: 'Uninstall' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Plugins' })).toBeVisible();
  await expect(page.getByRole('link', { name: 'Town crier' })).toHaveCount(0);
});

test('a form of the schema sets a plugin up, and keeps its secrets', async ({ page, site }) => {
  await asSite(page, site, 'tuner');
  await install(page, 'crier-set-up');
  await page.getByRole('link', { name: 'Configuration' }).click();
  await expect(page.getByRole('heading', { level: 2, name: 'Configuration' })).toBeFocused();
  await page.getByLabel('Channel').fill('#square');
  await page.getByLabel('Access token').fill('s3cret');
  await page.getByLabel('Loud').uncheck();
  await page.getByLabel('Level').selectOption('high');
  await page.getByRole('group', { name: 'Events' }).getByLabel('end').check();
  await page.getByLabel('Paths').fill('src\n\n docs ');
  await page.getByRole('group', { name: 'Mail' }).getByLabel('Host').fill('mail.example.org');
  await page.getByLabel('Rules').fill('[{"when": ');
  await page.getByRole('button', { name: 'Save configuration' }).click();
  await expect(page.getByLabel('Rules')).toHaveAttribute('aria-invalid', 'true');
  await readable(page);
  await page.getByLabel('Rules').fill('[{"when": "now"}]');
  await page.getByRole('button', { name: 'Save configuration' }).click();
  await expect(page.getByText('The configuration is saved.')).toBeVisible();
  const kept = async () => (await ask(page, 'GET', '/api/plugins/crier-set-up')).config;
  const { token, ...others } = await kept();
  expect(others).toEqual({
    channel: '#square',
    loud: false,
    level: 'high',
    events: ['end'],
    paths: ['src', 'docs'],
    mail: { host: 'mail.example.org' },
    rules: [{ when: 'now' }],
  });
  expect(token).toBeTruthy();

  // What the server refuses is told at its field.
  await page.getByLabel('Rules').fill('[5]');
  await page.getByRole('button', { name: 'Save configuration' }).click();
  await expect(page.getByLabel('Rules')).toHaveAttribute('aria-invalid', 'true');
  await page.getByLabel('Rules').fill('');
  await page.getByRole('button', { name: 'Back to on: Loud' }).click();
  await page.getByRole('button', { name: 'Save configuration' }).click();
  await expect(page.getByLabel('Loud')).toBeChecked();
  await expect
    .poll(async () => Object.keys(await kept()).sort())
    .toEqual(['channel', 'events', 'level', 'mail', 'paths', 'token']);
  await ask(page, 'DELETE', '/api/plugins/crier-set-up');
});

test('who may only look sees what a plugin is, and nothing to change', async ({ page, site }) => {
  await asSite(page, site, 'fitter2');
  await install(page, 'crier-to-see');
  await page.context().clearCookies();
  createUser(site, 'looker', PASSWORD, ['--role', 'viewer', '--org', 'demo']);
  await signIn(page, 'looker', PASSWORD);
  await page.goto('/plugins/crier-to-see');
  await expect(page.getByText('Bell & Sons')).toBeVisible();
  await expect(page.getByRole('button', { name: /Switch|Uninstall|version|Install/ })).toHaveCount(0);
  await expect(page.getByRole('link', { name: 'Configuration' })).toHaveCount(0);
  await page.goto('/plugins/not-there');
  await expect(page.getByRole('alert')).toContainText('Could not read the plugin.');
});
