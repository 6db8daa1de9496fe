// What is held about people: the inventory, and one's own data to take away.
import { createUser, expect, readable, signIn, test } from './site';

test.use({ model: false });

test('the inventory says what is held about people, and what is about nobody when asked', async ({
  signedIn: page,
}) => {
  await page.getByRole('link', { name: 'Organisations' }).click();
  await page.getByRole('link', { name: 'Personal data' }).click();
  await expect(page.getByRole('heading', { name: 'Personal data' })).toBeFocused();
  await expect(page.getByRole('heading', { name: 'users', exact: true })).toBeVisible();
  const email = page.getByRole('row').filter({ has: page.getByRole('cell', { name: 'email', exact: true }) });
  await expect(email.first()).toContainText(/Personal|Name/);
  await readable(page);
  const rows = await page.getByRole('row').count();
  await page.getByLabel('Show columns about nobody, too').check();
  await expect.poll(() => page.getByRole('row').count()).toBeGreaterThan(rows);
});

test('everybody may take their own data away; the inventory is for administrators', async ({
  page,
  site,
}) => {
  createUser(site, 'taker', 'four plain words walk by', ['--role', 'viewer', '--org', 'demo']);
  await signIn(page, 'taker', 'four plain words walk by');
  await page.getByRole('link', { name: 'Organisations' }).click();
  await expect(page.getByRole('link', { name: 'Demo' })).toBeVisible();
  await expect(page.getByRole('link', { name: 'Personal data' })).toHaveCount(0);
  await page.getByRole('link', { name: 'My account' }).click();
  const saved = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Download my data' }).click();
  expect((await saved).suggestedFilename()).toMatch(/\.zip$/);
});

test('somebody erases their own account with name and password', async ({ page, site }) => {
  createUser(site, 'leaver', 'four plain words walk by', ['--role', 'viewer', '--org', 'demo']);
  await signIn(page, 'leaver', 'four plain words walk by');
  await page.goto('/account');
  await page.getByRole('button', { name: 'Erase my account' }).click();
  const sure = page.getByRole('dialog');
  await expect(sure.getByRole('button', { name: 'Erase for good' })).toBeDisabled();
  await sure.getByLabel('Your user name').fill('leaver');
  await sure.getByLabel('Your password').fill('something else');
  await sure.getByRole('button', { name: 'Erase for good' }).click();
  await expect(sure.getByLabel('Your password')).toHaveAttribute('aria-invalid', 'true');
  await readable(page);
  await sure.getByLabel('Your password').fill('four plain words walk by');
  await sure.getByRole('button', { name: 'Erase for good' }).click();
  await expect(page.getByRole('button', { name: 'Sign in' })).toBeVisible();
  await page.getByLabel('User name').fill('leaver');
  await page.getByLabel('Password', { exact: true }).fill('four plain words walk by');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByRole('alert')).toBeVisible();
});
