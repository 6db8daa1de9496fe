// Inviting: the link is handed over, opened by somebody new, counts once, and can be revoked; an organisation ends.
import { readFileSync } from 'node:fs';
import { type Page } from '@playwright/test';
import { ask, createUser, expect, operate, readable, signIn, test } from './site';

test.use({ model: false });

const organization = async (page: Page): Promise<string> =>
  `/organizations/${(await ask(page, 'GET', '/api/organizations')).items[0].id}`;

async function invite(page: Page, email: string): Promise<string> {
  await page.getByRole('button', { name: 'Invite', exact: true }).click();
  await page.getByLabel('Mail address').fill(email);
  await page.getByRole('dialog').getByRole('button', { name: 'Invite' }).click();
  const link = await page.getByLabel('Link').inputValue();
  await page.getByRole('button', { name: 'Done' }).click();
  await expect(page.getByRole('cell', { name: email, exact: true })).toBeVisible();
  return link;
}

test('somebody new comes in by a link, once', async ({ signedIn: page, browser }) => {
  await page.goto(`${await organization(page)}/people`);
  const link = await invite(page, 'newcomer@example.org');
  await readable(page);
  const theirs = await (await browser.newContext()).newPage();
  await theirs.goto(link);
  await expect(theirs.getByText('newcomer@example.org', { exact: false }).first()).toBeVisible();
  await readable(theirs);
  await theirs.getByLabel('User name').fill('arrived');
  await theirs.getByLabel('Password', { exact: true }).fill('ten tin drums roll on');
  await theirs.getByRole('button', { name: 'Make my account' }).click();
  await expect(theirs.getByRole('link', { name: 'URL shortener' })).toBeVisible();
  await theirs.context().close();
  const again = await (await browser.newContext()).newPage();
  await again.goto(link);
  await expect(again.getByRole('alert')).toBeVisible();
  await again.context().close();
  await page.reload();
  await expect(page.getByRole('cell', { name: 'arrived', exact: true })).toBeVisible();
});

test('a revoked invitation counts no longer', async ({ signedIn: page, browser }) => {
  await page.goto(`${await organization(page)}/people`);
  const link = await invite(page, 'unwanted@example.org');
  await page.getByRole('button', { name: 'Revoke unwanted@example.org' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await expect(page.getByRole('cell', { name: 'unwanted@example.org', exact: true })).toHaveCount(0);
  const theirs = await (await browser.newContext()).newPage();
  await theirs.goto(link);
  await expect(theirs.getByRole('alert')).toBeVisible();
  await theirs.context().close();
});

test('many are invited at once, and who cannot be is told', async ({ signedIn: page }) => {
  await page.goto(`${await organization(page)}/people`);
  await page.getByRole('button', { name: 'Invite', exact: true }).click();
  await page
    .getByLabel('Mail addresses')
    .fill('one@many.example\ntwo@many.example, no-address\n two@many.example');
  await readable(page);
  await page.getByRole('dialog').getByRole('button', { name: 'Invite' }).click();
  await expect(page.getByLabel('Links of 2 invitations')).toHaveValue(
    /one@many.example http.*\ntwo@many.example http/,
  );
  await expect(page.getByRole('alert')).toContainText('no-address');
  await readable(page);
  const saved = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Save as file' }).click();
  const file = JSON.parse(readFileSync(await (await saved).path(), 'utf8'));
  expect(file.map((each: any) => each.email)).toEqual(['one@many.example', 'two@many.example']);
  await page.getByRole('button', { name: 'Done' }).click();
  await page.getByRole('searchbox', { name: 'Search invitations' }).fill('TWO@MANY');
  await expect(page.getByRole('cell', { name: 'two@many.example', exact: true })).toBeVisible();
  await expect(page.getByRole('cell', { name: 'one@many.example', exact: true })).toHaveCount(0);
  await page.getByRole('searchbox', { name: 'Search invitations' }).fill('');
  await page.getByLabel('State of the invitations').selectOption('Revoked');
  await expect(page.getByRole('cell', { name: 'one@many.example', exact: true })).toHaveCount(0);
});

test('an organisation is suspended, resumed, deleted and restored', async ({ page, site }) => {
  operate(site, ['org', 'create', '--name', 'Fleeting', '--slug', 'fleeting']);
  createUser(site, 'warden', 'eight cold wells run deep', ['--role', 'super_admin']);
  await signIn(page, 'warden', 'eight cold wells run deep');
  const { items } = await ask(page, 'GET', '/api/organizations');
  const { id } = items.find((org: any) => org.slug === 'fleeting');
  await page.goto(`/organizations/${id}/settings`);
  await page.getByRole('button', { name: 'Suspend' }).click();
  await page.getByLabel('Reason').fill('The bill is open');
  await page.getByRole('dialog').getByRole('button', { name: 'Suspend' }).click();
  await expect(page.getByText('The bill is open')).toBeVisible();
  await page.getByRole('button', { name: 'Resume' }).click();
  await expect(page.getByText('The bill is open')).toHaveCount(0);
  await page.getByRole('button', { name: 'Delete organisation' }).click();
  const sure = page.getByRole('dialog');
  await sure.getByLabel('Type fleeting to go on').fill('fleetin');
  await expect(sure.getByRole('button', { name: 'Delete organisation' })).toBeDisabled();
  await sure.getByLabel('Type fleeting to go on').fill('fleeting');
  await sure.getByRole('button', { name: 'Delete organisation' }).click();
  await expect(page.getByText('To be deleted')).toBeVisible();
  await readable(page);
  await page.getByRole('button', { name: 'Restore' }).click();
  await expect(page.getByText('To be deleted')).toHaveCount(0);
});
