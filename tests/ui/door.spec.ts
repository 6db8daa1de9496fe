// What somebody without a session may do for themselves: ask for a code by mail, make an account.
import { expect, MAIL_SITE, readable, signInByForm, test } from './site';

test.use({ model: false, settings: MAIL_SITE });

test('who forgot the password asks for a code, and the link in the mail brings it along', async ({
  page,
}) => {
  await page.goto('/');
  await page.getByRole('link', { name: 'I forgot my password' }).click();
  await page.getByLabel('E-mail address').fill('nobody@example.org');
  await readable(page);
  await page.getByRole('button', { name: 'Send a code' }).click();
  await expect(page.getByRole('status')).toContainText('If somebody here has the address nobody@example.org');
  await readable(page);
  await page.getByRole('link', { name: 'Enter the code' }).click();
  await expect(page.getByLabel('Code')).toHaveValue('');

  await page.goto('/');
  await page.goto('/reset#made-up-code');
  await expect(page.getByLabel('Code')).toHaveValue('made-up-code');
  await expect(page).toHaveURL(/\/reset$/);
});

test('somebody makes an account and signs in with it', async ({ page }) => {
  await page.goto('/');
  await page.getByRole('link', { name: 'Create an account' }).click();
  await page.getByLabel('User name').fill('newcomer');
  await page.getByLabel('E-mail address').fill('newcomer@example.org');
  await page.getByLabel('Password', { exact: true }).fill('short');
  await readable(page);
  await page.getByRole('button', { name: 'Create account' }).click();
  await expect(page.getByLabel('Password', { exact: true })).toHaveAttribute('aria-invalid', 'true');
  await page.getByLabel('Password', { exact: true }).fill('seven lamps over the long pier');
  await page.getByRole('button', { name: 'Create account' }).click();
  await expect(page.getByRole('status')).toContainText('Your account is made.');
  await readable(page);
  await signInByForm(page, 'newcomer', 'seven lamps over the long pier');
});

test('one chooses which notices come as mails', async ({ signedIn: page }) => {
  await page.goto('/notices');
  await expect(page.getByLabel('By mail')).toHaveValue('important');
  await page.getByLabel('By mail').selectOption('none');
  await expect(page.getByText('Your choice is kept.')).toBeVisible();
  await readable(page);
  await page.reload();
  await expect(page.getByLabel('By mail')).toHaveValue('none');
});
