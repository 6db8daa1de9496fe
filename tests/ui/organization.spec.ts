// An organisation's settings: how it calls itself, its logo, its rules; and what only the site may change.
import { type Page } from '@playwright/test';
import { ask, createUser, expect, operate, readable, signIn, test } from './site';

test.use({ model: false });

const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);
const organization = async (page: Page): Promise<string> =>
  `/organizations/${(await ask(page, 'GET', '/api/organizations')).items[0].id}`;

test('an administrator says how the organisation is called and what counts in it', async ({
  signedIn: page,
}) => {
  await page.goto(`${await organization(page)}/settings`);
  // Name and tier are the site's to decide.
  await expect(page.getByLabel('Display name')).toBeVisible();
  await expect(page.getByLabel('Tier')).toHaveCount(0);
  await page.getByLabel('Display name').fill('The demonstration');
  await page.getByLabel('Contact').fill('help@example.org');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'The demonstration' })).toBeVisible();
  await page.getByLabel('Tokens of a run').fill('100');
  await page.getByRole('button', { name: 'Save rules' }).click();
  // The browser itself keeps what the schema forbids from being sent.
  await expect(page.getByText('The settings are saved.')).toHaveCount(0);
  await page.getByLabel('Tokens of a run').fill('50000');
  await page.getByRole('button', { name: 'Save rules' }).click();
  await expect(page.getByText('The settings are saved.')).toBeVisible();
  await page.reload();
  await expect(page.getByLabel('Tokens of a run')).toHaveValue('50000');
  await expect(page.getByLabel('Default model')).toHaveValue('');
  await readable(page);
});

test('a logo is set, shown and removed; what is no picture is refused', async ({ signedIn: page }) => {
  await page.goto(`${await organization(page)}/settings`);
  const file = page.getByLabel('Picture file');
  await file.setInputFiles({ name: 'logo.png', mimeType: 'image/png', buffer: Buffer.from('<svg/>') });
  await expect(page.getByRole('alert')).toContainText('PNG');
  await file.setInputFiles({ name: 'logo.png', mimeType: 'image/png', buffer: PIXEL });
  const logo = page.getByRole('img', { name: /The logo of/ }).first();
  await expect(logo).toBeVisible();
  await expect.poll(() => logo.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBe(1);
  await page.getByRole('button', { name: 'Remove', exact: true }).click();
  await expect(page.getByRole('img', { name: /The logo of/ })).toHaveCount(0);
});

test('the site changes name and tier, and a look-alike name is refused', async ({ page, site }) => {
  operate(site, ['org', 'create', '--name', 'Northwind', '--slug', 'northwind']);
  createUser(site, 'keeper', 'seven grey herons at dawn', ['--role', 'super_admin']);
  await signIn(page, 'keeper', 'seven grey herons at dawn');
  await page.getByRole('link', { name: 'Organisations' }).click();
  await page.getByRole('link', { name: 'Northwind' }).click();
  const parts = page.getByRole('navigation', { name: 'Organisation', exact: true });
  await parts.getByRole('link', { name: 'Settings' }).click();
  await page.getByLabel('Name', { exact: true }).fill('Dem\u043e');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByLabel('Name', { exact: true })).toHaveAttribute('aria-invalid', 'true');
  await page.getByLabel('Name', { exact: true }).fill('Northwind Traders');
  await page.getByLabel('Tier').selectOption('Starter');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Northwind Traders' })).toBeVisible();
});
