// A demo site on a data directory of its own, and a page that fails the test when anything leaves the box.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { AxeBuilder } from '@axe-core/playwright';
import { type Page, test as base, expect } from '@playwright/test';

const ROOT = join(import.meta.dirname, '../..');
export const BINARY = join(ROOT, 'target/x86_64-unknown-linux-gnu/debug/resoftai');
const CACHE = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
const MODEL = join(CACHE, 'resoftai/models/smollm2-135m-instruct.gguf');
const PLUGIN = join(ROOT, 'plugin-sdk/examples/security-scanner');

export type Site = {
  url: string;
  username: string;
  password: string;
  project: number;
  /** The demo's run; undefined on a site without a model. */
  run: number;
  dir: string;
  /** Of a site that nobody has an account on: where the first administrator is made. */
  setup: string;
};

type Settings = Record<string, string>;

/** A site that sends mails, to a mail server that is not there, so that they wait; and that lets anybody register. */
export const MAIL_SITE: Settings = {
  SMTP_HOST: '127.0.0.1',
  SMTP_PORT: '9',
  SMTP_FROM: 'site@example.org',
  RESOFTAI_SMTP_SECURITY: 'none',
  RESOFTAI_ACCOUNTS_REGISTRATION: 'open',
};

/** Specs make organisations, people and roles of their own, so a vendor of the tests licenses the site. */
function licensed(): Settings {
  const dir = mkdtempSync(join(tmpdir(), 'resoftai-vendor-'));
  const { public_key, licence } = vendor(dir);
  rmSync(dir, { recursive: true });
  return { RESOFTAI_LICENCE_TRUSTED_KEYS: public_key, LICENSE_KEY: licence };
}

/** A vendor's key in `dir`, and a licence of everything that it signed. */
export function vendor(dir: string): { key: string; public_key: string; licence: string } {
  const key = join(dir, 'vendor.key');
  const run = (...args: string[]) =>
    JSON.parse(execFileSync(BINARY, ['--json', 'vendor', 'licence', ...args], { env: {}, encoding: 'utf8' }));
  const { public_key } = run('keygen', 'vendor.example/tests', '--output', key);
  const sold = ['--customer', 'Tests', '--tier', 'enterprise', '--seats', '10000'];
  return { key, public_key, licence: run('issue', '--key', key, ...sold).licence };
}

async function start(
  dir: string,
  model: boolean,
  isNew: boolean,
  settings: Settings,
): Promise<{ process: ChildProcess; site: Site }> {
  const args = ['--json', '--data-dir', dir, isNew ? 'serve' : 'demo', '--http', '--listen', '127.0.0.1:0'];
  const work = model ? ['--model', MODEL, '--plugin', PLUGIN] : [];
  const process = spawn(BINARY, [...args, ...work], {
    env: { ...licensed(), ...settings },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const lines = createInterface({ input: process.stdout! })[Symbol.asyncIterator]();
  const line = async () => {
    const next = await lines.next();
    if (next.done) throw new Error(`${BINARY} ended before it answered: build it with cargo build`);
    return JSON.parse(next.value);
  };
  const { address, setup } = await line();
  if (isNew)
    return { process, site: { url: address, username: '', password: '', project: 0, run: 0, dir, setup } };
  const { username, password, project_id, run_id } = await line();
  return {
    process,
    site: { url: address, username, password, project: project_id, run: run_id, dir, setup: '' },
  };
}

export const test = base.extend<
  { signedIn: Page },
  { model: boolean; isNew: boolean; settings: Settings; site: Site }
>({
  /** Whether agents work on the demo's project while the tests look on. */
  model: [true, { option: true, scope: 'worker' }],
  /** Whether nobody has an account on it yet. */
  isNew: [false, { option: true, scope: 'worker' }],
  /** What the site's environment sets. */
  settings: [{}, { option: true, scope: 'worker' }],
  site: [
    async ({ model, isNew, settings }, use) => {
      const dir = mkdtempSync(join(tmpdir(), 'resoftai-ui-'));
      const { process, site } = await start(dir, model, isNew, settings);
      await use(site);
      const ended = new Promise((done) => process.once('exit', done));
      process.kill('SIGTERM');
      await ended;
      rmSync(dir, { recursive: true });
    },
    { scope: 'worker' },
  ],
  baseURL: async ({ site }, use) => use(site.url),
  page: async ({ page, site }, use) => {
    const strange: string[] = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(`${site.url}/`)) strange.push(request.url());
    });
    page.on('console', (message) => {
      if (/content security policy/i.test(message.text())) strange.push(message.text());
    });
    page.on('pageerror', (error) => strange.push(error.message));
    await use(page);
    expect(strange, 'requests to elsewhere, violations of the policy, errors of the page').toEqual([]);
  },
  signedIn: async ({ page, site }, use) => {
    await signIn(page, site.username, site.password);
    await use(page);
  },
});

/** The number of the demo's organisation; other specs of the same site make others. */
export async function demoOf(page: Page): Promise<number> {
  const { items } = await ask(page, 'GET', '/api/organizations');
  return items.find(({ slug }: { slug: string }) => slug === 'demo').id;
}

/** Signs in past the form, which has tests of its own, and stands on the first page. */
export async function signIn(page: Page, username: string, password: string): Promise<void> {
  const reply = await page.request.post('/api/auth/login', { data: { username, password } });
  expect(reply.status(), `${username} signs in`).toBe(200);
  await page.goto('/');
  await expect(page.getByRole('heading', { name: 'Projects', exact: true })).toBeVisible();
}

/** Signs in as people do. */
export async function signInByForm(page: Page, username: string, password: string): Promise<void> {
  await page.goto('/');
  await page.getByLabel('User name').fill(username);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByRole('heading', { name: 'Projects', exact: true })).toBeVisible();
}

/** No serious barrier, by the rules of WCAG 2.2 A and AA that a program can check; `only` one of them. */
export async function accessible(page: Page, only?: string): Promise<void> {
  // There are no frames, so nothing has to be gathered from them in a page of its own.
  const axe = new AxeBuilder({ page }).options({ resultTypes: ['violations'] }).setLegacyMode();
  if (only) axe.withRules(only);
  else axe.withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']);
  const { violations } = await axe.analyze();
  const told = violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).join(', ')}`,
  );
  expect(told, page.url()).toEqual([]);
}

/** The page as it stands can be read in both themes, on a desk and on a phone. Nothing is loaded anew. */
export async function readable(page: Page): Promise<void> {
  await expect(page.getByRole('heading').first()).toBeVisible();
  await expect(page.getByText(/^Loading /)).toHaveCount(0);
  const desk = page.viewportSize()!;
  await accessible(page);
  await page.emulateMedia({ colorScheme: 'dark' });
  await accessible(page, 'color-contrast');
  await page.setViewportSize({ width: 390, height: 844 });
  // The bar at the top covers what is scrolled under it.
  await page.evaluate(() => scrollTo(0, 0));
  await accessible(page);
  const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  expect(tooWide, `${page.url()} is too wide for a phone`).toBeLessThanOrEqual(0);
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize(desk);
}

/** Sends a request as the page would, with its session; the reply's JSON. */
export async function ask(page: Page, method: string, path: string, body?: unknown): Promise<any> {
  return page.evaluate(
    async ([method, path, body]) => {
      const headers = { 'content-type': 'application/json' };
      const reply = await fetch(path!, { method: method!, headers, body: body ?? null });
      return reply.status === 204 ? null : reply.json();
    },
    [method, path, body === undefined ? null : JSON.stringify(body)] as const,
  );
}

/** Runs a command as the server's operator does, on the same machine. */
export function operate(site: Site, args: string[], input = ''): void {
  execFileSync(BINARY, ['--data-dir', site.dir, ...args], {
    env: {},
    input,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
}

/** Makes an account, in no organisation unless `role` says in which. */
export function createUser(site: Site, username: string, password: string, role: string[] = []): void {
  const user = ['user', 'create', '--username', username, '--email', `${username}@example.org`];
  operate(site, [...user, ...role, '--password-stdin'], `${password}\n`);
}

export { expect };
