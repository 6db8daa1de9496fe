// The examples of the SDK, together: switched on and set up in an organisation's pages, each doing its part in a project.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Page } from '@playwright/test';
import { bringIn, example } from './plugin';
import { listening, withScribe } from './scribe';
import { ask, createUser, demoOf, expect, readable, signIn, test } from './site';

test.use({ model: false });

const PASSWORD = 'five grey herons watch the weir';

const SDK = join(import.meta.dirname, '../../plugin-sdk');

/** An archive of an example's folder, after something was done to a copy of it. */
function changed(slug: string, change: (dir: string) => void, files = ['.']): Buffer {
  const dir = mkdtempSync(join(tmpdir(), 'resoftai-example-'));
  cpSync(join(SDK, 'examples', slug), dir, { recursive: true });
  change(dir);
  const archive = execFileSync('tar', ['-C', dir, '-cf', '-', ...files], { maxBuffer: 64 << 20 });
  rmSync(dir, { recursive: true });
  return archive;
}

/** One that asks for another host than it was written with. */
function towards(slug: string, from: string, host: string): Buffer {
  return changed(slug, (dir) => {
    const manifest = join(dir, 'plugin.json');
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replace(`"${from}"`, `"${host}"`));
  });
}

const BUILT = ['plugin.json', 'plugin.wasm'];

/** One in JavaScript, with its component. */
function script(slug: string): Buffer {
  return changed(slug, (dir) => execFileSync('sh', [join(SDK, 'javascript/build.sh'), dir]), BUILT);
}

/** One in WebAssembly's text format, with its component. */
function assembled(slug: string): Buffer {
  const parse =
    "import { parse } from '@bytecodealliance/jco'; import { readFileSync, writeFileSync } from 'node:fs';" +
    "const [text, file] = process.argv.slice(1); writeFileSync(file, await parse(readFileSync(text, 'utf8')));";
  return changed(
    slug,
    (dir) => {
      const files = [join(dir, 'plugin.wat'), join(dir, 'plugin.wasm')];
      execFileSync('node', ['--input-type=module', '-e', parse, ...files], { cwd: join(SDK, 'javascript') });
    },
    BUILT,
  );
}

/** Keeps the events that are posted to it. */
async function receiver(events: string[]): Promise<{ host: string; close: () => void }> {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (piece) => (body += piece));
    request.on('end', () => {
      events.push(JSON.parse(body).event);
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() };
}

/** Grants all that the plugin asks for and switches it on. */
async function switchOn(page: Page, org: number, slug: string, groups: string[]): Promise<void> {
  await page.goto(`/organizations/${org}/plugins/${slug}`);
  await page.getByRole('button', { name: 'Switch on here' }).click();
  await expect(page).toHaveURL(/capabilities$/);
  for (const name of groups) {
    const group = page.getByRole('group', { name });
    await group.getByRole('switch').check();
    for (const box of await group.getByRole('checkbox').all()) await box.check();
  }
  await page.getByRole('button', { name: 'Grant and switch on' }).click();
  await expect(page.getByText(/is on here\./)).toBeVisible();
}

async function setUp(page: Page, field: string, value: string): Promise<void> {
  await page.getByRole('link', { name: 'Configuration' }).click();
  await page.getByLabel(field, { exact: true }).fill(value);
  await page.getByRole('button', { name: 'Save configuration' }).click();
  await expect(page.getByText('The configuration is saved.')).toBeVisible();
}

test('an agent, a workflow, a template, an integration and a model of plugins build a project', async ({
  page,
  site,
}) => {
  test.setTimeout(180_000);
  createUser(site, 'yardmaster', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'yardmaster', PASSWORD);
  const { id: org } = await ask(page, 'POST', '/api/organizations', { name: 'Shipyard', slug: 'shipyard' });
  const events: string[] = [];
  const hooks = await receiver(events);
  const models = await listening('yard-model');
  const close = await withScribe(page, org, 'yard-scribe');
  await bringIn(page, towards('openai-models', 'models.example.org', models.host));
  await bringIn(page, towards('webhook', 'hooks.example.org', hooks.host));
  for (const slug of ['api-designer', 'api-first', 'web-service']) await bringIn(page, example(slug));

  await switchOn(page, org, 'openai-models', ['Requests to other servers']);
  await setUp(page, 'Base url', `http://${models.host}/v1`);
  await switchOn(page, org, 'webhook', ['Requests to other servers']);
  await setUp(page, 'Url', `http://${hooks.host}/events`);
  await switchOn(page, org, 'api-designer', ['Models']);
  await readable(page);

  await page.goto('/projects/new');
  await page.getByLabel('Name', { exact: true }).fill('Slipway');
  await page.getByLabel('Requirement').fill('Tell when the next ship is launched.');
  await page.getByLabel('Organisation').selectOption(String(org));
  await page.getByLabel('Begin with').selectOption('web-service');
  await page.getByLabel('Name (needed)').fill('Slip way');
  await page.getByLabel('Model', { exact: true }).selectOption('yard-scribe');
  await page.getByLabel('Workflow').selectOption('API first');
  await readable(page);
  await page.getByRole('button', { name: 'Create and start' }).click();
  const stages = page.getByRole('list', { name: 'Stages' }).getByRole('button');
  await expect(stages.nth(1)).toContainText('Api designer');
  const ended = page.getByRole('button', { name: 'Run again' });
  await expect(ended).toBeVisible({ timeout: 90_000 });
  await page.getByRole('link', { name: 'Files' }).click();
  for (const file of ['api.md', 'api-review.md', 'bell.txt', '__main__.py'])
    await expect(page.getByText(file).first()).toBeVisible();
  await expect.poll(() => events).toContain('project.create.after');
  await expect.poll(() => events).toContain('project.execute.complete');

  // Another project, by the model of the plugin.
  const dock = { name: 'Dry dock', requirements: 'Pump it out.', organization_id: org };
  const { id } = await ask(page, 'POST', '/api/projects', dock);
  await page.goto(`/projects/${id}`);
  await page.getByRole('button', { name: 'Start the agents' }).first().click();
  await page.getByLabel('Model').selectOption('openai-models/yard-model');
  await page.getByRole('dialog').getByRole('button', { name: 'Start', exact: true }).click();
  await expect(ended).toBeVisible({ timeout: 90_000 });
  await expect(page.getByText('Completed').first()).toBeVisible();
  // Others on this site begin without them.
  for (const slug of ['web-service', 'api-designer', 'webhook', 'openai-models'])
    await ask(page, 'DELETE', `/api/plugins/${slug}`);
  close();
  hooks.close();
  models.close();
});

test('a plugin in JavaScript and one without a runtime look at what is written', async ({ page, site }) => {
  test.setTimeout(300_000);
  createUser(site, 'inspector', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'inspector', PASSWORD);
  const archives = [
    { slug: 'script-review', name: 'Script review', buffer: script('script-review') },
    // The tools of the one before make the other, too.
    { slug: 'todo-marks', name: 'TODO marks', buffer: assembled('todo-marks') },
  ];
  for (const { slug, name, buffer } of archives) {
    await page.goto('/plugins');
    await page.getByRole('button', { name: 'Install a plugin' }).click();
    const file = { name: `${slug}.tar`, mimeType: 'application/x-tar', buffer };
    await page.getByLabel('File').setInputFiles(file);
    await page.getByRole('dialog').getByRole('button', { name: 'Install' }).click();
    // What is no Python is compiled first.
    await expect(page.getByRole('heading', { level: 1, name })).toBeVisible({ timeout: 120_000 });
  }
  const weir = { name: 'Weir', requirements: 'Hold the water.', organization_id: await demoOf(page) };
  const { id } = await ask(page, 'POST', '/api/projects', weir);
  const gate = { path: 'gate.js', content: 'const gate = 1;\nvar open = 2; // TODO: close\n' };
  await ask(page, 'POST', `/api/projects/${id}/files`, gate);
  await page.goto(`/projects/${id}`);
  await page.getByRole('link', { name: 'Quality' }).click();
  for (const plugin of ['script-review', 'todo-marks']) {
    await expect(async () => {
      await page.reload();
      await expect(page.getByRole('row').filter({ hasText: plugin }).first()).toBeVisible({ timeout: 2_000 });
    }).toPass({ timeout: 60_000 });
  }
  await readable(page);
  for (const { slug } of archives) await ask(page, 'DELETE', `/api/plugins/${slug}`);
});
