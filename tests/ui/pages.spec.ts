// Every page: for eyes, screen readers and keyboards, in light and dark, on a desk and on a phone.
import type { Page } from '@playwright/test';
import { accessible, createUser, expect, readable, signIn, test } from './site';

const PAGES = [
  '/',
  '/projects/new',
  '/audit',
  '/organizations',
  '/models',
  '/plugins',
  '/plugins/security-scanner',
  '/marketplace',
  '/marketplace/collections',
  '/marketplace/submissions',
  '/privacy',
  '/account',
  '/account/security',
  '/account/sessions',
  '/account/tokens',
  '/account/usage',
  '/nowhere',
];

test('a wrong password is told, a right one lets in, and out again', async ({ page, site }) => {
  await page.goto('/');
  await accessible(page);
  await page.getByLabel('User name').fill(site.username);
  await page.getByLabel('Password', { exact: true }).fill('not the password');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('alert')).toContainText('wrong');
  await signIn(page, site.username, site.password);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await expect(page.getByLabel('User name')).toBeVisible();
});

test('every page can be read in light and dark, and stays in the window of a phone', async ({
  signedIn: page,
  site,
}) => {
  test.setTimeout(240_000);
  const project = `/projects/${site.project}`;
  const own = `/organizations/${await organization(page)}`;
  const ofThings = [
    ...[`/runs/${site.run}`, '/files', '/findings', '/runs', '/settings'].map((part) => `${project}${part}`),
    ...[
      '',
      '/people',
      '/teams',
      '/roles',
      '/usage',
      '/quotas',
      '/audit',
      '/audit/retention',
      '/sso',
      '/settings',
    ].map((part) => `${own}${part}`),
  ];
  for (const path of [...PAGES, ...ofThings]) {
    await page.goto(path);
    await readable(page);
  }
});

test('a project is made by keyboard alone', async ({ signedIn: page }) => {
  await page.getByRole('link', { name: 'New project' }).focus();
  await page.keyboard.press('Enter');
  await page.getByLabel('Name').focus();
  await page.keyboard.type('By keyboard');
  await page.keyboard.press('Tab');
  await page.keyboard.type('A clock.');
  await page.getByRole('button', { name: 'Create only' }).focus();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'By keyboard' })).toBeVisible();
  await page.goto('/');
  await expect(page.getByRole('link', { name: 'By keyboard' })).toBeVisible();
});

test('somebody without an organisation reads who can help', async ({ page, site }) => {
  createUser(site, 'newcomer', 'a password of their own');
  await signIn(page, 'newcomer', 'a password of their own');
  await expect(page.getByText('An administrator of yours can add you')).toBeVisible();
  await accessible(page);
  await page.getByRole('link', { name: 'Organisations' }).click();
  await expect(page.getByText('You are a member of none.')).toBeVisible();
});

test('a list that is on its way says so, one that cannot be read can be asked for again', async ({
  signedIn: page,
}) => {
  let letPass = () => {};
  const held = new Promise<void>((pass) => (letPass = pass));
  await page.route('**/api/projects?*', async (route) => {
    await held;
    await route.abort();
  });
  await page.goto('/');
  await expect(page.getByText('Loading the projects')).toBeAttached();
  await accessible(page);
  letPass();
  await expect(page.getByRole('alert')).toContainText('Could not read the projects.');
  await accessible(page);
  await page.unroute('**/api/projects?*');
  await page.getByRole('button', { name: /again/i }).click();
  await expect(page.getByRole('link', { name: 'URL shortener' })).toBeVisible();
});

test('the tab key alone reaches a project and its files', async ({ signedIn: page }) => {
  await page.goto('/');
  await expect(page.getByRole('link', { name: 'URL shortener' })).toBeVisible();
  for (const name of ['URL shortener', /^Files/]) {
    const link = page.getByRole('link', { name }).first();
    await expect(link).toBeVisible();
    for (let steps = 0; steps < 40; steps++) {
      await page.keyboard.press('Tab');
      if (await link.evaluate((element) => element === document.activeElement)) break;
    }
    await expect(link).toBeFocused();
    await page.keyboard.press('Enter');
  }
  await expect(page).toHaveURL(/\/projects\/\d+\/files/);
});

test('an error says what to do', async ({ signedIn: page }) => {
  await page.goto('/projects/999999');
  await expect(page.getByRole('alert')).toContainText('There is no project here');
});

test('the reference of the API needs nothing from elsewhere', async ({ signedIn: page }) => {
  await page.goto('/api/docs/');
  await expect(page.getByText('/api/projects', { exact: true }).first()).toBeVisible();
});

async function organization(page: Page): Promise<number> {
  return page.evaluate(async () => (await (await fetch('/api/organizations')).json()).items[0].id);
}
