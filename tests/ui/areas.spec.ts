// How one moves: the parts of an organisation and of an account, the way back, titles and where the focus goes.
import { type Page } from '@playwright/test';
import { ask, expect, test } from './site';

test.use({ model: false });

const organization = async (page: Page): Promise<number> =>
  (await ask(page, 'GET', '/api/organizations')).items[0].id;

test('the parts of an organisation have addresses, titles and a way back', async ({ signedIn: page }) => {
  await page.getByRole('link', { name: 'Organisations' }).click();
  await expect(page.getByRole('heading', { name: 'Organisations' })).toBeFocused();
  await page.getByRole('link', { name: 'Demo' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Demo' })).toBeFocused();
  await expect(page).toHaveTitle('Overview · Demo · ResoftAI');
  const parts = page.getByRole('navigation', { name: 'Organisation', exact: true });
  await parts.getByRole('link', { name: 'People' }).click();
  await expect(page.getByRole('heading', { level: 2, name: 'People' })).toBeFocused();
  await expect(page).toHaveTitle('People · Demo · ResoftAI');
  await expect(page).toHaveURL(/\/organizations\/\d+\/people$/);
  await expect(parts.getByRole('link', { name: 'People' })).toHaveAttribute('aria-current', 'page');
  await page.goBack();
  await expect(page.getByRole('heading', { level: 2, name: 'Overview' })).toBeFocused();
  await page.goBack();
  await expect(page.getByRole('heading', { level: 1, name: 'Organisations' })).toBeFocused();
});

test('an address of a part is opened as it stands, a wrong one is told', async ({ signedIn: page }) => {
  const id = await organization(page);
  await page.goto(`/organizations/${id}/audit?action=create`);
  await expect(page.getByLabel('Action')).toHaveValue('create');
  await expect(page.getByRole('button', { name: /Created project/ }).first()).toBeVisible();
  await page.getByRole('link', { name: 'Clear' }).click();
  await expect(page).toHaveURL(new RegExp(`/organizations/${id}/audit$`));
  for (const path of [`/organizations/${id}/nothing`, `/organizations/${id}/audit/1`, '/account/nothing']) {
    await page.goto(path);
    await expect(page.getByRole('heading', { name: 'No such page' })).toBeVisible();
  }
});

test('my account says who I am and holds my tokens', async ({ signedIn: page, site }) => {
  await page.getByRole('link', { name: 'My account' }).click();
  await expect(page.getByRole('definition').filter({ hasText: site.username }).first()).toBeVisible();
  await expect(page.getByRole('cell', { name: 'Demo' })).toBeVisible();
  await page.getByRole('navigation', { name: 'My account' }).getByRole('link', { name: 'Tokens' }).click();
  await expect(page.getByRole('heading', { name: 'Tokens', exact: true })).toBeFocused();
  await page.getByRole('button', { name: 'New token' }).click();
  await page.getByLabel('Name').fill('editor');
  await page.getByRole('button', { name: 'Create token' }).click();
  await expect(page.getByLabel('Secret')).toHaveValue(/.{20}/);
  await page.getByRole('button', { name: 'Done' }).click();
  await page.getByRole('button', { name: 'Delete editor' }).click();
  await page.getByRole('button', { name: 'Delete token' }).click();
  await expect(page.getByRole('heading', { name: 'No tokens' })).toBeVisible();
});
