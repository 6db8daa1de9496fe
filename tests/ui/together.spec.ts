// People in one file, each in a browser of their own.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { Browser, Page } from '@playwright/test';
import { ask, createUser, expect, operate, readable, signIn, type Site, test } from './site';

test.use({ model: false });

const PASSWORD = 'four plain words walk by';

/** The way to the site for somebody whose network comes and goes. */
class Line {
  readonly #sockets = new Set<Socket>();
  readonly #server;
  #up = true;

  constructor(port: number) {
    this.#server = createServer((from) => {
      if (!this.#up) return from.destroy();
      const to = connect(port, '127.0.0.1');
      for (const [one, other] of [
        [from, to],
        [to, from],
      ] as const) {
        this.#sockets.add(one);
        one.on('error', () => other.destroy()).on('close', () => other.destroy());
      }
      from.pipe(to).pipe(from);
    });
  }

  async url(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  cut(): void {
    this.#up = false;
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  mend(): void {
    this.#up = true;
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}

const text = (page: Page) => page.getByLabel('Text of notes/shared.md');
const here = (page: Page) => page.getByRole('list', { name: 'Also here' });

async function make(page: Page, site: Site): Promise<number> {
  const content = 'first\nlast\n';
  const files = `/api/projects/${site.project}/files`;
  const known = await ask(page, 'GET', `${files}?limit=100`);
  const old = known.items.find((file: { path: string }) => file.path === 'notes/shared.md');
  if (old) await ask(page, 'DELETE', `/api/files/${old.id}`);
  return (await ask(page, 'POST', files, { path: 'notes/shared.md', content })).id;
}

async function open(page: Page, site: Site, id: number, button = 'Edit'): Promise<void> {
  await page.goto(`/projects/${site.project}/files/${id}`);
  await page.getByRole('button', { name: button, exact: true }).click();
  await expect(text(page)).toContainText('first');
}

/** Somebody else, in a browser window of their own. */
async function another(browser: Browser, url: string, name: string): Promise<Page> {
  const page = await (await browser.newContext({ baseURL: url, reducedMotion: 'reduce' })).newPage();
  await signIn(page, name, PASSWORD);
  return page;
}

test('two who type at once see one text, also when the line of one was cut, and it becomes a version', async ({
  signedIn: page,
  site,
  browser,
}) => {
  test.setTimeout(120_000);
  createUser(site, 'mate', PASSWORD, ['--role', 'developer', '--org', 'demo']);
  const id = await make(page, site);
  const line = new Line(Number(new URL(site.url).port));
  const mate = await another(browser, await line.url(), 'mate');
  await open(page, site, id);
  await open(mate, site, id);
  await expect(here(page)).toContainText('mate');
  await expect(page.getByRole('status').filter({ hasText: 'mate is here.' })).toHaveCount(1);
  await text(page).press('Control+Home');
  await text(mate).press('Control+End');
  await Promise.all([
    text(page).pressSequentially('one ', { delay: 20 }),
    text(mate).pressSequentially('two', { delay: 20 }),
  ]);
  for (const one of [page, mate]) {
    await expect(text(one)).toContainText('one first');
    await expect(text(one)).toContainText('two');
  }
  // Where the other one stands is told by name.
  await expect(page.locator('.cm-other')).toHaveAttribute('data-name', 'mate');
  await readable(page);

  line.cut();
  await expect(mate.getByText('The connection is away.', { exact: false })).toBeVisible();
  await expect(here(page)).not.toContainText('mate');
  await text(mate).pressSequentially(' three');
  await text(page).pressSequentially('more ');
  await expect(page.getByText('All changes are kept, not yet saved as a version.')).toBeVisible();
  line.mend();
  for (const one of [page, mate]) {
    await expect(text(one)).toContainText('one more first', { timeout: 30_000 });
    await expect(text(one)).toContainText('two three');
  }
  await expect(here(page)).toContainText('mate');
  await expect(here(mate)).toContainText(site.username);
  await text(page).press('Control+s');
  await expect(page.getByText('Saved as version 2.').first()).toBeVisible();
  await expect(mate.getByText('Saved as version 2.').first()).toBeVisible();
  const { content } = await ask(page, 'GET', `/api/files/${id}`);
  expect(content).toBe('one more first\nlast\ntwo three');

  // The last one who leaves saves.
  await text(mate).pressSequentially(' four');
  await expect(text(page)).toContainText('three four');
  await page.getByRole('button', { name: 'Done' }).click();
  await mate.context().close();
  await expect
    .poll(async () => (await ask(page, 'GET', `/api/files/${id}`)).content)
    .toBe('one more first\nlast\ntwo three four');
  line.close();
});

test('what an agent or the API writes to a file that is open comes into the text', async ({
  signedIn: page,
  site,
}) => {
  const id = await make(page, site);
  await open(page, site, id);
  await text(page).press('Control+End');
  await text(page).pressSequentially('typed');
  const content = 'FIRST\nlast\n';
  await ask(page, 'PUT', `/api/files/${id}`, { content, expected_version: 1 });
  await expect(text(page)).toContainText('FIRST');
  await expect(text(page)).toContainText('typed');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByText('Saved as version 3.').first()).toBeVisible();
  expect((await ask(page, 'GET', `/api/files/${id}`)).content).toBe('FIRST\nlast\ntyped');
});

test('who loses the right to change may look on, and who loses that is told why', async ({
  signedIn: page,
  site,
  browser,
}) => {
  createUser(site, 'guest', PASSWORD, ['--role', 'developer', '--org', 'demo']);
  const id = await make(page, site);
  const guest = await another(browser, site.url, 'guest');
  await open(guest, site, id);
  await text(guest).press('Control+Home');
  await text(guest).pressSequentially('by a guest ');
  await expect(guest.getByText('All changes are kept', { exact: false })).toBeVisible();
  operate(site, ['role', 'assign', 'guest', 'viewer', '--org', 'demo']);
  operate(site, ['role', 'revoke', 'guest', 'developer', '--org', 'demo']);
  await expect(guest.getByText('You may read this file, not change it.')).toBeVisible();
  await expect(text(guest)).toHaveAttribute('contenteditable', 'false');
  await expect(guest.getByRole('button', { name: 'Save', exact: true })).toHaveCount(0);
  await open(page, site, id);
  await text(page).press('Control+End');
  await text(page).pressSequentially('seen');
  await expect(text(guest)).toContainText('seen');
  await expect(here(page)).toContainText('guest, reading');
  operate(site, ['role', 'revoke', 'guest', 'viewer', '--org', 'demo']);
  await expect(guest.getByText('Editing has ended.')).toBeVisible();
  await expect(guest.getByRole('alert')).not.toBeEmpty();
  await expect(text(guest)).toContainText('by a guest first');
  await guest.context().close();
});
