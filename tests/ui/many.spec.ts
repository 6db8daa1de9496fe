// Ten thousand people and as many invitations: a page of them is asked for at a time, whatever is shown or searched.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { type Page } from '@playwright/test';
import { ask, createUser, expect, operate, readable, signIn, type Site, test } from './site';

test.use({ model: false });

const MANY = 10_000;
/** What the pages ask for at once. */
const A_PAGE = 50;

/** Puts them into the database beside the server: through the door this many passwords would take an hour. */
function fill(site: Site, organization: number): void {
  const program = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=30)
org, many, first = int(sys.argv[2]), int(sys.argv[3]), 2_000_000_000
for at in range(many):
    name = f'crowd-{at:05}'
    db.execute("INSERT INTO users (id, username, username_key, email, email_key, password_hash, is_active, created_at)"
        " VALUES (?, ?, ?, ?, ?, '!', TRUE, 1)", (first + at, name, name, f'{name}@example.org', f'{name}@example.org'))
    db.execute("INSERT INTO role_grants (id, user_id, role, organization_id, granted_at) VALUES (?, ?, 'viewer', ?, 1)",
        (first + many + at, first + at, org))
    guest = f'guest-{at:05}@example.org'
    db.execute("INSERT INTO invitations (id, organization_id, email, email_key, role, code_hash, created_at, expires_at)"
        " VALUES (?, ?, ?, ?, 'viewer', ?, 1, 9000000000000000)", (first + 2 * many + at, org, guest, guest, guest))
db.commit()
`;
  execFileSync('python3', ['-c', program, join(site.dir, 'resoftai.db'), String(organization), String(MANY)]);
}

/** The lists that the page reads from now on: which, and how many entries each answer had. */
function listsRead(page: Page): Promise<[string, number]>[] {
  const read: Promise<[string, number]>[] = [];
  page.on('response', (response) => {
    const list = /\/(users|members|invitations)$/.exec(new URL(response.url()).pathname);
    if (list) read.push(response.json().then(({ items }) => [list[1]!, items.length]));
  });
  return read;
}

test('ten thousand people and invitations are read and searched a page at a time', async ({
  page,
  site,
}) => {
  operate(site, ['org', 'create', '--name', 'City', '--slug', 'city', '--tier', 'enterprise']);
  createUser(site, 'mayor', 'thirty bridges over the river', ['--role', 'org_admin', '--org', 'city']);
  await signIn(page, 'mayor', 'thirty bridges over the river');
  const { items } = await ask(page, 'GET', '/api/organizations');
  const { id } = items[0];
  fill(site, id);

  const guest = (name: string) => page.getByRole('cell', { name: `${name}@example.org`, exact: true });
  const person = (name: string) => page.getByRole('link', { name, exact: true });
  const read = listsRead(page);
  await page.goto(`/organizations/${id}/people`);
  await expect(person('crowd-09999')).toBeVisible();
  await expect(guest('guest-09999')).toBeVisible();
  await readable(page);
  await page.getByRole('searchbox', { name: 'Search people' }).fill('crowd-00007');
  await expect(person('crowd-00007')).toBeVisible();
  await expect(person('crowd-09999')).toHaveCount(0);
  await page.getByRole('searchbox', { name: 'Search invitations' }).fill('guest-0001');
  await expect(guest('guest-00019')).toBeVisible();
  await expect(guest('guest-09999')).toHaveCount(0);
  await page.getByRole('searchbox', { name: 'Search people' }).fill('crowd');
  await expect(person('crowd-09999')).toBeVisible();
  await page.getByRole('button', { name: 'Show more' }).first().click();
  await expect(person('crowd-09900')).toBeVisible();
  const all = await Promise.all(read);
  expect([all.slice(0, 2).sort(), ...all.slice(2)]).toEqual([
    [
      ['invitations', A_PAGE],
      ['members', A_PAGE],
    ],
    ['members', 1],
    ['invitations', 10],
    ['members', A_PAGE],
    ['members', A_PAGE],
  ]);
});
