// Single sign-on in the browser: with a real OpenID provider through the sign-in page, linked from the account, and set up for
// an organisation.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Browser, type Page } from '@playwright/test';
import { ask, createUser, demoOf, expect, readable, signIn, type Site, test } from './site';

test.use({ model: false });

const FOLDER = join(import.meta.dirname, '../sso');
const METADATA = readFileSync(join(import.meta.dirname, '../it/isolation/idp.xml'), 'utf8');
const PASSWORD = 'four plain words walk by';
const SECRET = 'a secret: with / signs';
const running: ChildProcess[] = [];

test.beforeAll(() => {
  execFileSync('sh', [join(FOLDER, 'install.sh')], { stdio: ['ignore', 'ignore', 'inherit'] });
});
test.afterAll(() => running.forEach((provider) => provider.kill('SIGTERM')));

/** npm's oidc-provider, at which `login` is signed in; its issuer. */
async function provider(site: Site, slug: string, login: string): Promise<string> {
  const op = spawn(process.execPath, [join(FOLDER, 'op.mjs'), `${site.url}/api/sso/${slug}/callback`], {
    env: { LOGIN: login },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  running.push(op);
  const { value } = await createInterface({ input: op.stdout })[Symbol.asyncIterator]().next();
  return `http://127.0.0.1:${value}`;
}

/** A page that may go to the provider's, too. */
async function visitor(browser: Browser, site: Site): Promise<Page> {
  return (await browser.newContext({ baseURL: site.url, reducedMotion: 'reduce' })).newPage();
}

test('people sign in with a provider that the site has set up', async ({ page, browser, site }) => {
  const issuer = await provider(site, 'corporate-id', 'alice');
  createUser(site, 'setter', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'setter', PASSWORD);
  await page.goto('/site/sso');
  await expect(page.getByRole('heading', { name: 'No identity providers' })).toBeVisible();
  await readable(page);
  await page.getByRole('button', { name: 'New identity provider' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name', { exact: true }).fill('Corporate ID');
  await dialog.getByLabel('Kind').selectOption('OpenID Connect');
  await dialog.getByLabel('Issuer').fill(`${issuer}/other`);
  await dialog.getByLabel('Client ID').fill('resoftai');
  await dialog.getByLabel('Client secret').fill(SECRET);
  await dialog.getByLabel('A first sign-in makes an account').check();
  await readable(page);
  await dialog.getByRole('button', { name: 'Make provider' }).click();
  await expect(page.getByRole('heading', { name: 'Corporate ID' })).toBeVisible();
  await expect(page.getByLabel('Redirect URI')).toHaveValue(`${site.url}/api/sso/corporate-id/callback`);
  // What is wrong is told before anybody signs in.
  await page.getByRole('button', { name: 'Test' }).click();
  await expect(page.getByRole('status').filter({ hasText: 'Not all of it is well' })).toContainText('/other');
  await readable(page);
  await page.getByRole('button', { name: 'Change' }).click();
  await dialog.getByLabel('Issuer').fill(issuer);
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog).toHaveCount(0);
  await page.getByRole('button', { name: 'Test' }).click();
  await expect(page.getByRole('status').filter({ hasText: 'All is well' })).toBeVisible();
  await readable(page);

  const alice = await visitor(browser, site);
  await alice.goto('/projects?q=abc');
  const offer = alice.getByRole('link', { name: 'Sign in with Corporate ID' });
  await expect(offer).toBeVisible();
  await readable(alice);
  await offer.click();
  await expect(alice.getByRole('heading', { name: 'Projects', exact: true })).toBeVisible();
  expect(new URL(alice.url()).search).toBe('?q=abc');
  expect((await ask(alice, 'GET', '/api/auth/me')).user.username).toBe('alice');
  await alice.goto('/account/security');
  await expect(alice.getByRole('row').filter({ hasText: 'Corporate ID' })).toContainText('Unlink');
  await readable(alice);
  await alice.context().close();
});

test('an account is linked from the inside; nobody else comes in', async ({ page, browser, site }) => {
  const issuer = await provider(site, 'partner-id', 'carol');
  createUser(site, 'linkmaker', PASSWORD, ['--role', 'super_admin']);
  createUser(site, 'carol', PASSWORD, ['--role', 'developer', '--org', 'demo']);
  await signIn(page, 'linkmaker', PASSWORD);
  await ask(page, 'POST', '/api/sso/providers', {
    slug: 'partner-id',
    name: 'Partner ID',
    client_secret: SECRET,
    connection: { kind: 'oidc', issuer, client_id: 'resoftai' },
  });

  const carol = await visitor(browser, site);
  await carol.goto('/');
  await carol.getByRole('link', { name: 'Sign in with Partner ID' }).click();
  await expect(carol.getByRole('alert')).toContainText('Nobody here is linked with you there');
  await readable(carol);
  await carol.getByLabel('User name').fill('carol');
  await carol.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await carol.getByRole('button', { name: 'Sign in', exact: true }).click();
  // Who stood on the sign-in page goes on to where the refusal is told again, beside the way to link.
  await expect(carol.getByRole('heading', { name: 'My account' })).toBeVisible();
  await carol.getByRole('button', { name: 'Link Partner ID' }).click();
  const dialog = carol.getByRole('dialog');
  await dialog.getByLabel('Your password').fill('not the password at all');
  await dialog.getByRole('button', { name: 'Go on' }).click();
  await expect(dialog.getByLabel('Your password')).toHaveAttribute('aria-invalid', 'true');
  await readable(carol);
  await dialog.getByLabel('Your password').fill(PASSWORD);
  await dialog.getByRole('button', { name: 'Go on' }).click();
  await expect(carol.getByRole('button', { name: 'Unlink Partner ID' })).toBeVisible();
  await expect(carol.getByRole('alert')).toHaveCount(0);

  await carol.getByRole('button', { name: 'Sign out' }).click();
  await carol.getByRole('link', { name: 'Sign in with Partner ID' }).click();
  await expect(carol.getByRole('heading', { name: 'Projects', exact: true })).toBeVisible();
  expect((await ask(carol, 'GET', '/api/auth/me')).user.username).toBe('carol');
  await carol.goto('/account/security');
  await carol.getByRole('button', { name: 'Unlink Partner ID' }).click();
  await dialog.getByRole('button', { name: 'Unlink' }).click();
  await expect(carol.getByRole('button', { name: 'Link Partner ID' })).toBeVisible();
  await carol.context().close();
});

test('an organisation sets up SAML, and asks for it', async ({ signedIn: page, browser, site }) => {
  const id = await demoOf(page);
  await page.goto(`/organizations/${id}/sso`);
  await page.getByRole('button', { name: 'New identity provider' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name', { exact: true }).fill('Acme ID');
  await dialog.getByLabel('Metadata', { exact: true }).fill('<nothing/>');
  await dialog.getByRole('button', { name: 'Make provider' }).click();
  await expect(dialog.getByLabel('Metadata', { exact: true })).toHaveAttribute('aria-invalid', 'true');
  await dialog
    .getByLabel('Metadata file')
    .setInputFiles({ name: 'idp.xml', mimeType: 'text/xml', buffer: Buffer.from(METADATA) });
  await expect(dialog.getByLabel('Metadata', { exact: true })).toHaveValue(/EntityDescriptor/);
  await dialog.getByLabel('Role of new people').selectOption('Viewer');
  await dialog.getByRole('button', { name: 'Add a group' }).click();
  await dialog.getByLabel('Group 1', { exact: true }).fill('builders');
  await dialog.getByLabel('Role of group 1').selectOption('Developer');
  await readable(page);
  await dialog.getByRole('button', { name: 'Make provider' }).click();
  await expect(page.getByRole('heading', { name: 'Acme ID' })).toBeVisible();
  const acs = page.getByLabel('Assertion consumer service (ACS), HTTP-POST');
  await expect(acs).toHaveValue(`${site.url}/api/sso/acme-id/acs`);
  await expect(page.getByRole('row').filter({ hasText: 'CN=idp.example' })).toBeVisible();
  await expect(page.getByRole('row').filter({ hasText: 'builders' })).toContainText('developer');
  await readable(page);
  const metadata = await page.request.get('/api/sso/acme-id/metadata');
  expect(await metadata.text()).toContain('AssertionConsumerService');

  // Offered to who comes by the organisation's own address.
  const somebody = await visitor(browser, site);
  await somebody.goto('/sign-in?org=demo');
  await expect(somebody.getByRole('link', { name: 'Sign in with Acme ID' })).toBeVisible();
  await somebody.context().close();

  // Nobody locks themselves out.
  await page.goto(`/organizations/${id}/settings`);
  await page.getByLabel('Require single sign-on').check();
  await page.getByRole('button', { name: 'Save rules' }).click();
  await expect(page.getByText('this would lock you out yourself')).toBeVisible();

  await page.goto(`/organizations/${id}/sso`);
  await readable(page);
  await page.getByRole('link', { name: 'Acme ID' }).click();
  await page.getByRole('button', { name: 'Change' }).click();
  await dialog.getByLabel('People sign in with it').uncheck();
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText('These addresses answer once it is switched on.')).toBeVisible();
  await expect(page.getByRole('row').filter({ hasText: 'builders' })).toContainText('developer');
  await page.getByRole('button', { name: 'Delete' }).click();
  await dialog.getByLabel('Type acme-id to go on').fill('acme-id');
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await expect(page.getByRole('heading', { name: 'No identity providers' })).toBeVisible();
});
