// Plugins: installed from a file, looked at, set up by a form of their schema, switched off for everybody, taken out.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Page } from '@playwright/test';
import { bringIn, packed } from './plugin';
import { ask, createUser, demoOf, expect, readable, signIn, type Site, test } from './site';

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

const MANIFEST = {
  name: 'Town crier',
  version: '1.0.0',
  description: 'Tells the town what happens.',
  author: 'Bell & Sons',
  category: 'utility',
  entry_point: 'main.py:Crier',
  config_schema: SCHEMA,
};

const CODE = [
  'from resoftai.plugins.base import Plugin',
  'class Crier(Plugin):',
  '    def load(self, context):',
  '        self.context = context',
  '        return True',
  '    def activate(self):',
  '        self.context.hooks.register_action("project.create.after", lambda **_: None, priority=7)',
  '        self.context.log_info("The crier is awake.")',
  '        return True',
  '    def deactivate(self):',
  '        return True',
  '    def unload(self):',
  '        return True',
];

/** An archive of a plugin that does next to nothing. */
function archive(
  slug: string,
  version: string,
  more: object = {},
): { name: string; mimeType: string; buffer: Buffer } {
  const buffer = packed({ ...MANIFEST, slug, version, ...more }, CODE);
  return { name: `${slug}.tar`, mimeType: 'application/x-tar', buffer };
}

async function asSite(page: Page, site: Site, username: string): Promise<void> {
  createUser(site, username, PASSWORD, ['--role', 'super_admin']);
  await signIn(page, username, PASSWORD);
}

/** Brings a plugin in past the page; with another version, in the place of the one there is. */
async function bring(page: Page, slug: string, version: string, more: object): Promise<void> {
  await bringIn(page, archive(slug, version, more).buffer);
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

  // What it costs is told as soon as it was called.
  const org = await demoOf(page);
  const project = { name: 'Market', requirements: 'A stall.', organization_id: org };
  await ask(page, 'POST', '/api/projects', project);
  await expect
    .poll(async () => (await ask(page, 'GET', '/api/plugins/crier')).cost.hooks.length)
    .toBeGreaterThan(0);
  await page.getByRole('button', { name: 'Load anew' }).click();
  await expect(page.getByText('Town crier 1.0.0 is loaded.')).toBeVisible();
  await readable(page);
  await page.getByRole('link', { name: 'Use', exact: true }).click();
  await expect(page.getByRole('img', { name: 'Calls, by 15 minutes.' })).toBeVisible();
  const fired = page.getByRole('row').filter({ hasText: 'project.create.after' });
  await expect(fired.getByRole('cell').nth(1)).toHaveText('1');
  await expect(fired.getByRole('cell').nth(5)).toHaveText(/^[\d.]+ (ms|s)$/);
  await expect(page.getByRole('row').getByRole('link', { name: 'Demo', exact: true })).toBeVisible();
  await page.getByText('By 15 minutes, as a table').click();
  await readable(page);
  await page.getByLabel('Time', { exact: true }).selectOption('Last 7 days');
  await expect(page.getByRole('img', { name: 'Calls, by 3 hours.' })).toBeVisible();
  await page.goto(`/organizations/${org}/plugins/crier/use`);
  await expect(fired.getByRole('cell').nth(1)).toHaveText('1');
  await expect(page.getByRole('heading', { name: 'By organisation' })).toHaveCount(0);
  await readable(page);
  await page.goto('/plugins/crier');

  await page.getByRole('link', { name: 'Capabilities' }).click();
  await page.getByRole('switch', { name: /Works in every organisation/ }).click();
  await expect(page.getByText('Town crier works only where it is switched on.')).toBeVisible();
  await readable(page);
  await page.getByRole('link', { name: 'Overview' }).click();

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

test('what a scan keeps out is taken only with a reason, and its findings are shown', async ({
  page,
  site,
}) => {
  await asSite(page, site, 'fitter6');
  const hidden = ['import base64', 'def unused():', "    exec(base64.b64decode('cGFzcw=='))"];
  const manifest = {
    ...MANIFEST,
    slug: 'crier-in-secret',
    name: 'Crier in secret',
    config_schema: undefined,
  };
  const buffer = packed(manifest, [...CODE, ...hidden]);
  await page.goto('/plugins');
  await page.getByRole('button', { name: 'Install a plugin' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('File').setInputFiles({ name: 'crier.tar', mimeType: 'application/x-tar', buffer });
  await expect(dialog.getByLabel('Reason to install it all the same')).toHaveCount(0);
  await dialog.getByRole('button', { name: 'Install' }).click();
  await expect(dialog.getByRole('alert')).toContainText('python-hidden-code');
  const reason = dialog.getByLabel('Reason to install it all the same');
  await readable(page);
  // Without a reason it stays out.
  await dialog.getByRole('button', { name: 'Install' }).click();
  await expect(dialog.getByRole('alert')).toContainText('python-hidden-code');
  await reason.fill('We wrote it ourselves.');
  await dialog.getByRole('button', { name: 'Install' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Crier in secret' })).toBeVisible();

  await page.getByRole('link', { name: 'Scan', exact: true }).click();
  await expect(page.getByRole('heading', { level: 2, name: 'Scan' })).toBeFocused();
  await expect(page.getByText('Taken all the same')).toBeVisible();
  await expect(page.getByText('We wrote it ourselves.')).toBeVisible();
  const finding = page.getByRole('row').filter({ hasText: 'python-hidden-code' });
  await expect(finding).toContainText('critical');
  await expect(finding).toContainText(`main.py, line ${CODE.length + hidden.length}`);
  await readable(page);
  await ask(page, 'DELETE', '/api/plugins/crier-in-secret');

  // Of one that nothing was found in, that is said.
  await install(page, 'crier-in-order');
  await page.getByRole('link', { name: 'Scan', exact: true }).click();
  await expect(page.getByText('Clean')).toBeVisible();
  await expect(page.getByText('Nothing was found in what was looked at.')).toBeVisible();
  await readable(page);
  await ask(page, 'DELETE', '/api/plugins/crier-in-order');
});

test('what lies in the plugins folder is installed by its name', async ({ page, site }) => {
  await asSite(page, site, 'fitter5');
  const folder = join(site.dir, 'plugins', 'crier-in-folder');
  mkdirSync(folder);
  const asks = {
    slug: 'crier-in-folder',
    name: 'Crier in a folder',
    capabilities: { http: ['example.org'] },
  };
  writeFileSync(join(folder, 'plugin.json'), JSON.stringify({ ...MANIFEST, ...asks }));
  await page.goto('/plugins');
  const found = page.getByRole('row').filter({ hasText: 'crier-in-folder' });
  await expect(found).toContainText('main.py');
  await expect(found.getByRole('button')).toHaveCount(0);
  writeFileSync(join(folder, 'main.py'), CODE.join('\n'));
  await page.reload();
  await page.getByRole('button', { name: 'Install Crier in a folder' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog).toContainText('Send requests to example.org');
  await dialog.getByRole('button', { name: 'Install' }).click();
  await dialog.getByLabel('Settings it cannot do without').fill('{"channel": "#here"}');
  await readable(page);
  await dialog.getByRole('button', { name: 'Install' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Crier in a folder' })).toBeVisible();
  await expect(page).toHaveURL(/crier-in-folder\/capabilities$/);
  await page.goto('/plugins');
  await expect(page.getByRole('link', { name: 'Crier in a folder' })).toBeVisible();
  await expect(page.getByRole('button', { name: 'Install Crier in a folder' })).toHaveCount(0);
  await ask(page, 'DELETE', '/api/plugins/crier-in-folder');
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
  await expect(page.getByLabel('Access token')).toHaveValue('');
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
  await page.getByRole('button', { name: /^Back to on/ }).click();
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

test('an organisation grants what it likes, sets the plugin up, reads its log and takes all back', async ({
  page,
  site,
  browser,
}) => {
  const asks = (hosts: string[]) => ({
    name: 'Town messenger',
    config_schema: { type: 'object', properties: { greeting: { type: 'string', default: 'Oyez' } } },
    capabilities: { http: { hosts, methods: ['GET', 'POST'], max_bytes: 4096 }, time_ms: 900 },
  });
  await asSite(page, site, 'fitter3');
  await bring(page, 'messenger', '1.0.0', asks(['hooks.example.org', '*.example.com']));
  const theirs = await (await browser.newContext({ baseURL: site.url })).newPage();
  await signIn(theirs, site.username, site.password);
  const own = `/organizations/${await demoOf(theirs)}/plugins`;
  await theirs.goto(own);
  const row = theirs.getByRole('row').filter({ hasText: 'Town messenger' });
  await expect(row).toContainText('Not switched on');
  await expect(row).toContainText('Asks');
  await readable(theirs);
  await theirs.getByRole('link', { name: 'Town messenger' }).click();
  await expect(theirs.getByText('Bell & Sons')).toBeVisible();
  await readable(theirs);

  // It begins to work when somebody said what it may.
  await theirs.getByRole('button', { name: 'Switch on here' }).click();
  await expect(theirs).toHaveURL(/messenger\/capabilities$/);
  await expect(theirs.getByRole('note')).toContainText('Send requests to hooks.example.org, *.example.com');
  const http = theirs.getByRole('group', { name: 'Requests to other servers' });
  await http.getByRole('switch').check();
  await http.getByRole('checkbox', { name: 'hooks.example.org' }).check();
  await http.getByRole('checkbox', { name: 'POST' }).check();
  await http.getByLabel('Bytes at most, each way').fill('1024');
  await readable(theirs);
  await theirs.getByRole('button', { name: 'Grant and switch on' }).click();
  await expect(theirs.getByText('Town messenger is on here.')).toBeVisible();
  const granted = async () => {
    const plugin = await ask(theirs, 'GET', `/api${own}/messenger`);
    return plugin.capabilities.find(({ code }: { code: string }) => code === 'http').granted;
  };
  expect(await granted()).toEqual({ hosts: ['hooks.example.org'], methods: ['POST'], max_bytes: 1024 });

  await theirs.getByRole('link', { name: 'Configuration' }).click();
  await expect(theirs.getByText('Empty: Oyez.')).toBeVisible();
  await theirs.getByLabel('Greeting').fill('Hear ye');
  await theirs.getByRole('button', { name: 'Save configuration' }).click();
  await expect(theirs.getByText('The configuration is saved.')).toBeVisible();
  await readable(theirs);
  await theirs.getByRole('link', { name: 'Log', exact: true }).click();
  await theirs.getByLabel('New lines by themselves').check();
  await expect(theirs.getByText('The crier is awake.').first()).toBeVisible();
  await readable(theirs);
  await theirs.getByLabel('Level').selectOption('Errors');
  await expect(theirs.getByRole('heading', { name: 'Nothing as urgent' })).toBeVisible();

  // Another version asks for more, and goes on with what it has until that is decided.
  await bring(page, 'messenger', '1.1.0', asks(['hooks.example.org', '*.example.com', 'example.net']));
  await theirs.goto(`${own}?which=asks`);
  await expect(row).toContainText('Asks for more');
  await expect(row).toContainText('1.1.0');
  await theirs.goto(`${own}/messenger/capabilities`);
  await expect(theirs.getByRole('note')).toContainText('example.net');
  await expect(http.getByRole('checkbox', { name: 'example.net' })).not.toBeChecked();
  await readable(theirs);
  await theirs.getByRole('button', { name: 'Save grants' }).click();
  await expect(theirs.getByRole('note')).toHaveCount(0);
  await theirs.getByRole('button', { name: 'Take everything back' }).click();
  await theirs.getByRole('dialog').getByRole('button', { name: 'Take back' }).click();
  await expect(http.getByRole('switch')).not.toBeChecked();
  expect(await granted()).toBeNull();
  await theirs.getByRole('button', { name: 'Switch off here' }).click();
  await expect(theirs.getByText('Town messenger is off here.')).toBeVisible();
  await theirs.context().close();

  await page.goto('/plugins/messenger/capabilities');
  await expect(page.getByText('Compute for up to 900 ms in one call.')).toBeVisible();
  await expect(page.getByText('So it works only where an organisation switches it on.')).toBeVisible();
  await readable(page);
  await page.getByRole('link', { name: 'Log', exact: true }).click();
  await expect(page.getByText('The crier is awake.').first()).toBeVisible();
  await readable(page);
  await ask(page, 'DELETE', '/api/plugins/messenger');
});

test('who may not decide about plugins sees what one may, and nothing to change', async ({ page, site }) => {
  await asSite(page, site, 'fitter4');
  await bring(page, 'whisperer', '1.0.0', {
    config_schema: null,
    capabilities: { http: ['hooks.example.org'] },
  });
  await page.context().clearCookies();
  createUser(site, 'bystander', PASSWORD, ['--role', 'viewer', '--org', 'demo']);
  await signIn(page, 'bystander', PASSWORD);
  const org = await demoOf(page);
  await page.goto(`/organizations/${org}/plugins/whisperer/capabilities`);
  await expect(page.getByText(/Send requests to hooks\.example\.org/).first()).toBeVisible();
  await expect(page.getByRole('switch').first()).toBeDisabled();
  await expect(page.getByRole('button', { name: /Switch|Grant|Take|Save/ })).toHaveCount(0);
  await readable(page);
});
