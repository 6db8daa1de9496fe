// One's own account: the password, where one is signed in, and a lost password.
import { type Page } from '@playwright/test';
import { ask, createUser, expect, readable, signIn, test } from './site';

test.use({ model: false });

const PASSWORD = 'four plain words walk by';
const NEXT = 'a heron waits beside the weir';

async function person(page: Page, site: any, username: string): Promise<void> {
  createUser(site, username, PASSWORD, ['--role', 'developer', '--org', 'demo']);
  await signIn(page, username, PASSWORD);
}

test('a password is changed, after a word on how strong the new one is', async ({ page, site, browser }) => {
  await person(page, site, 'changer');
  const elsewhere = await (await browser.newContext({ baseURL: site.url })).newPage();
  await signIn(elsewhere, 'changer', PASSWORD);
  await page.goto('/account/security');
  const next = page.getByLabel('New password');
  await next.fill('short');
  await expect(page.getByText('11 more characters')).toBeVisible();
  await next.fill('aaaaaaaaaaaaaaaaaaaa');
  await expect(page.getByText(/Guessed at once|Easily guessed/)).toBeVisible();
  await readable(page);
  await page.getByLabel('Current password').fill('not the password at all');
  await next.fill(NEXT);
  await expect(page.getByText('Very hard to guess')).toBeVisible();
  await page.getByRole('button', { name: 'Change password' }).click();
  await expect(page.getByLabel('Current password')).toHaveAttribute('aria-invalid', 'true');
  await page.getByLabel('Current password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Change password' }).click();
  await expect(page.getByText('Your password is changed.')).toBeVisible();
  // Whoever was signed in elsewhere is asked again, and this browser is not.
  await elsewhere.reload();
  await signIn(elsewhere, 'changer', NEXT);
  await elsewhere.context().close();
  await page.reload();
  await expect(page.getByRole('heading', { name: 'My account' })).toBeVisible();
});

test('a session elsewhere is seen and ended', async ({ page, site, browser }) => {
  await person(page, site, 'roamer');
  const others = [];
  for (let at = 0; at < 2; at++) {
    const other = await (await browser.newContext({ baseURL: site.url })).newPage();
    await signIn(other, 'roamer', PASSWORD);
    others.push(other);
  }
  await page.goto('/account/sessions');
  const rows = page.getByRole('row').filter({ hasText: 'Chrome on Linux' });
  await expect(rows).toHaveCount(3);
  await expect(rows.filter({ hasText: 'This one' })).toHaveCount(1);
  await readable(page);
  await page
    .getByRole('button', { name: /End the session on/ })
    .first()
    .click();
  await page.getByRole('dialog').getByRole('button', { name: 'End the session' }).click();
  await expect(rows).toHaveCount(2);
  await page.getByRole('button', { name: 'End all others' }).click();
  await page.getByRole('button', { name: 'End the others' }).click();
  await expect(rows).toHaveCount(1);
  await expect(page.getByRole('button', { name: 'End all others' })).toHaveCount(0);
  for (const other of others) {
    await other.reload();
    await expect(other.getByLabel('User name')).toBeVisible();
    await other.context().close();
  }
});

test('who lost the password sets a new one with a code, once', async ({ page, site, signedIn: admin }) => {
  createUser(site, 'forgetter', PASSWORD, ['--role', 'developer', '--org', 'demo']);
  const { items } = await ask(admin, 'GET', '/api/users');
  const { id } = items.find((user: any) => user.username === 'forgetter');
  const { code } = await ask(admin, 'POST', `/api/users/${id}/password-reset`, {});
  await admin.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('link', { name: 'I have a code' }).click();
  await expect(page.getByRole('heading', { name: 'Set a new password' })).toBeVisible();
  await readable(page);
  await page.getByLabel('Code').fill('wrong');
  await page.getByLabel('New password').fill(NEXT);
  await page.getByRole('button', { name: 'Set password' }).click();
  await expect(page.getByText(/code/i).and(page.locator('.wrong, .error'))).toBeVisible();
  await page.getByLabel('Code').fill(code);
  await page.getByRole('button', { name: 'Set password' }).click();
  // Not the way back that stands there before.
  await page.getByRole('link', { name: 'Sign in', exact: true }).click();
  await signIn(page, 'forgetter', NEXT);
});
