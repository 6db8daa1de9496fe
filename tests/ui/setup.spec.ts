// The first minutes of a new site: the setup link makes its administrator, once, and shows what else there is to do.
import { accessible, expect, readable, test } from './site';

test.use({ model: false, isNew: true, settings: { LICENSE_KEY: '' } });

test('the setup link makes the first administrator, who sees the first steps', async ({ page, site }) => {
  await page.goto('/');
  await expect(page.getByText('Nobody has an account here yet.')).toBeVisible();
  await page.goto('/setup');
  await expect(page.getByText('Open the whole setup link')).toBeVisible();

  await page.goto('about:blank');
  await page.goto(site.setup.replace(/.$/, (last) => (last === '0' ? '1' : '0')));
  await page.getByLabel('User name').fill('ada');
  await page.getByLabel('E-mail address').fill('ada@example.org');
  await page.getByLabel('Password', { exact: true }).fill('four slow trains cross north');
  await page.getByRole('button', { name: 'Become the administrator' }).click();
  await expect(page.getByText('This is not the setup link of this site.')).toBeVisible();

  await page.goto('about:blank');
  await page.goto(site.setup);
  expect(page.url(), 'the secret does not stay in the address').toBe(`${site.url}/setup`);
  await accessible(page);
  await page.getByLabel('User name').fill('ada');
  await page.getByLabel('E-mail address').fill('ada@example.org');
  await page.getByLabel('Password', { exact: true }).fill('1234567890123456');
  await page.getByRole('button', { name: 'Become the administrator' }).click();
  await expect(page.getByLabel('Password', { exact: true })).toHaveAttribute('aria-invalid', 'true');
  await page.getByLabel('Password', { exact: true }).fill('four slow trains cross north');
  await page.getByRole('button', { name: 'Become the administrator' }).click();

  await expect(page.getByRole('heading', { name: 'First steps' })).toBeVisible();
  await expect(page.getByText('0 of 6 are done.')).toBeVisible();
  await accessible(page);
  await readable(page);
  await page.getByRole('link', { name: 'Make an organisation' }).click();
  await page.getByRole('button', { name: 'New organisation' }).first().click();
  await page.getByLabel('Name', { exact: true }).fill('Acme');
  await page.getByRole('dialog').getByRole('button', { name: 'Make organisation' }).click();
  await expect(page.getByRole('heading', { name: 'Acme' })).toBeVisible();
  await page.goto('/site/start');
  await expect(page.getByText('1 of 6 are done.')).toBeVisible();

  // The link is worth nothing now.
  await page.request.post('/api/auth/logout');
  await page.goto('about:blank');
  await page.goto(site.setup);
  await page.getByLabel('User name').fill('mallory');
  await page.getByLabel('E-mail address').fill('mallory@example.org');
  await page.getByLabel('Password', { exact: true }).fill('four slow trains cross north');
  await page.getByRole('button', { name: 'Become the administrator' }).click();
  await expect(page.getByText('This site has accounts already.')).toBeVisible();
});
