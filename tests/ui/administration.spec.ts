// The site's own area: organisations made, suspended, deleted and brought back; roles over the site; only for who may.
import { createUser, expect, readable, signIn, test } from './site';

test.use({ model: false });

const PASSWORD = 'twelve brass bells at noon';

test('an organisation is made, suspended, let in again, deleted and restored', async ({ page, site }) => {
  createUser(site, 'founder', PASSWORD, ['--role', 'super_admin']);
  createUser(site, 'steward', PASSWORD, ['--role', 'viewer', '--org', 'demo']);
  await signIn(page, 'founder', PASSWORD);
  await page.getByRole('link', { name: 'Site', exact: true }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Site' })).toBeFocused();
  await page.getByRole('button', { name: 'New organisation' }).click();
  await page.getByLabel('Name', { exact: true }).fill('Dem\u043e');
  await page.getByRole('button', { name: 'Make organisation' }).click();
  await expect(page.getByRole('dialog').locator('[aria-invalid=true]')).toHaveCount(1);
  await readable(page);
  await page.getByLabel('Name', { exact: true }).fill('Mühle & Söhne');
  await expect(page.getByLabel('Short name')).toHaveAttribute('placeholder', 'muhle-sohne');
  await page.getByLabel('Administrator’s mail address').fill('steward@example.org');
  await page.getByRole('button', { name: 'Make organisation' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Mühle & Söhne' })).toBeVisible();
  await expect(page.getByRole('row').filter({ hasText: 'steward' })).toContainText('Organisation admin');

  await page.goto('/site?q=muhle');
  const row = page.getByRole('row').filter({ hasText: 'muhle-sohne' });
  await expect(row).toContainText('Active');
  await expect(page.getByRole('row')).toHaveCount(2);
  await row.getByRole('button', { name: /^Suspend/ }).click();
  await page.getByLabel('Reason').fill('The bill is not paid');
  await page.getByRole('dialog').getByRole('button', { name: 'Suspend' }).click();
  await expect(row).toContainText('The bill is not paid');
  await readable(page);
  await row.getByRole('button', { name: /^Resume/ }).click();
  await expect(row).toContainText('Active');
  await row.getByRole('button', { name: /^Delete/ }).click();
  await page.getByLabel('Type muhle-sohne to go on').fill('muhle-sohne');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete organisation' }).click();
  await expect(row).toContainText('To be deleted');
  await page.getByLabel('State').selectOption('Active');
  await expect(page.getByRole('heading', { name: 'None fits' })).toBeVisible();
  await page.getByLabel('State').selectOption('To be deleted');
  await row.getByRole('button', { name: /^Restore/ }).click();
  await expect(row).toContainText('Active');
});

test('roles over the site and the inventory have a place', async ({ page, site }) => {
  createUser(site, 'castellan', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'castellan', PASSWORD);
  await page.goto('/site/roles');
  await expect(page.getByRole('row').filter({ hasText: 'castellan' })).toContainText('Super admin');
  await readable(page);
  await page.getByRole('navigation', { name: 'Site' }).getByRole('link', { name: 'Personal data' }).click();
  await expect(page.getByRole('heading', { name: 'users', exact: true })).toBeVisible();
});

test('how long the audit log is kept is set with care, and what goes is told', async ({ signedIn: page }) => {
  await page.getByRole('link', { name: 'Organisations' }).click();
  await page.getByRole('link', { name: 'Demo', exact: true }).click();
  await page.getByRole('link', { name: 'Audit', exact: true }).click();
  await page.getByRole('link', { name: 'Retention' }).click();
  await expect(page.getByRole('heading', { name: 'How long entries are kept' })).toBeFocused();
  await expect(page.getByLabel('For ever')).toBeChecked();
  await expect(page.getByRole('heading', { name: 'Nothing was dropped' })).toBeVisible();
  await page.getByLabel('For a number of days').check();
  await page.getByLabel('Days', { exact: true }).fill('90');
  await readable(page);
  await page.getByRole('button', { name: 'Save' }).click();
  const sure = page.getByRole('dialog');
  await expect(sure.getByRole('button', { name: 'Keep 90 days' })).toBeDisabled();
  await sure.getByLabel('Type demo to go on').fill('demo');
  await sure.getByRole('button', { name: 'Keep 90 days' }).click();
  await expect(page.getByText('Saved.')).toBeVisible();
  await page.reload();
  await expect(page.getByLabel('Days', { exact: true })).toHaveValue('90');
  await page.getByLabel('For ever').check();
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('button', { name: 'Save' })).toBeDisabled();
});
