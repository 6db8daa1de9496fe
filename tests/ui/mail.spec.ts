// The site's mails as its administrators see them: how the mail server is reached, what waits, trying again, dropping.
import { ask, createUser, expect, MAIL_SITE, readable, signIn, test } from './site';

test.use({ model: false, settings: MAIL_SITE });

const PASSWORD = 'nine quiet ships leave port';

test('mails that wait are seen, tried again and dropped', async ({ page, site }) => {
  createUser(site, 'postmaster', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'postmaster', PASSWORD);
  const { items } = await ask(page, 'GET', '/api/organizations');
  for (const name of ['lost', 'found']) {
    const invitation = { email: `${name}@example.org`, role: 'viewer' };
    await ask(page, 'POST', `/api/organizations/${items[0].id}/invitations`, invitation);
  }
  await page.getByRole('link', { name: 'Site', exact: true }).click();
  await page.getByRole('navigation', { name: 'Site' }).getByRole('link', { name: 'Mail' }).click();
  await expect(page.getByRole('heading', { level: 2, name: 'Mail', exact: true })).toBeFocused();
  await expect(page.getByText('127.0.0.1:9', { exact: true })).toBeVisible();
  const row = (name: string) => page.getByRole('row').filter({ hasText: `${name}@example.org` });
  await expect(row('found')).toContainText('Waiting');
  await readable(page);

  await page.getByRole('button', { name: 'Try now the mail to found@example.org' }).click();
  await expect(page.getByText('The mail to found@example.org is tried again now.')).toBeVisible();
  // Whoever looks later sees why it still waits.
  await expect(async () => {
    await page.getByRole('button', { name: 'Refresh' }).click();
    await expect(row('found')).toContainText('refused', { timeout: 1_000 });
  }).toPass();
  await page.getByRole('button', { name: 'Drop the mail to lost@example.org' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Drop mail' }).click();
  await expect(row('lost')).toHaveCount(0);
  await page.getByLabel('State').selectOption('Sent');
  await expect(page.getByRole('heading', { name: 'No such mails' })).toBeVisible();
  await page.getByLabel('State').selectOption('Waiting');
  await expect(row('found')).toBeVisible();
});

test('a test mail tells at which step it failed', async ({ page, site }) => {
  createUser(site, 'prober', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'prober', PASSWORD);
  await page.goto('/site/mail');
  await page.getByRole('button', { name: 'Send a test mail' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByLabel('To')).toHaveValue('prober@example.org');
  await dialog.getByRole('button', { name: 'Send', exact: true }).click();
  await expect(dialog.getByRole('list', { name: 'Steps' })).toContainText('Not connected');
  await expect(dialog.getByRole('status')).toContainText('did not take the mail');
  await readable(page);
});

test('mails are the business of who administers the site', async ({ signedIn: page }) => {
  await page.goto('/site/mail');
  await expect(page.getByRole('heading', { name: 'No such page' })).toBeVisible();
});
