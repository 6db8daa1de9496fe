// Usage: charts with their figures as tables, narrowed by what and when, taken away as CSV; and one's own.
import { readFileSync } from 'node:fs';
import { type Page } from '@playwright/test';
import { ask, createUser, expect, readable, signIn, type Site, test } from './site';

test.use({ model: false });

/** Writes down some use in an organisation of its own, which is the site's to do, and stays signed in as who did. */
async function used(page: Page, site: Site, username: string): Promise<{ id: number; person: number }> {
  createUser(site, username, 'eight red apples on a sill', ['--role', 'super_admin']);
  await signIn(page, username, 'eight red apples on a sill');
  const slug = `office-of-${username}`;
  const { id } = await ask(page, 'POST', '/api/organizations', { name: `Office of ${username}`, slug });
  createUser(site, `${username}-worker`, 'eight red apples on a sill', ['--role', 'developer', '--org', slug]);
  const { items } = await ask(page, 'GET', `/api/users?q=${username}-worker`);
  const write = (amount: number, more: object) =>
    ask(page, 'POST', `/api/organizations/${id}/usage`, { resource_type: 'llm_tokens', amount, ...more });
  await write(300, { user_id: items[0].id, metadata: { model: 'small' } });
  await write(100, { metadata: { model: '=large' } });
  await write(1, { resource_type: 'projects' });
  return { id, person: items[0].id };
}

test('use is told by day, model and person, and taken away as CSV', async ({ page, site }) => {
  const { id, person } = await used(page, site, 'counter');
  await page.goto(`/organizations/${id}/usage`);
  await expect(page.getByRole('img', { name: /By day/ })).toBeVisible();
  await expect(page.getByRole('strong')).toHaveText('400');
  const small = page.getByRole('row').filter({ has: page.getByRole('cell', { name: 'small', exact: true }) });
  await expect(small).toContainText('75 %');
  await expect(page.getByRole('link', { name: 'counter-worker' })).toHaveAttribute(
    'href',
    `/organizations/${id}/people/${person}`,
  );
  await page.getByText('By day, as a table').click();
  const days = page.getByRole('table').first();
  await expect(days.getByRole('row')).toHaveCount(2);
  await readable(page);
  const saved = page.waitForEvent('download');
  await page.getByRole('link', { name: 'CSV by model' }).click();
  expect(readFileSync(await (await saved).path(), 'utf8')).toBe(
    "model,name,llm_tokens,records\r\nsmall,,300,1\r\n'=large,,100,1\r\n",
  );
});

test('what and when stand in the address, and days that cannot be are told at their field', async ({
  page,
  site,
}) => {
  const { id } = await used(page, site, 'asker');
  await page.goto(`/organizations/${id}/usage`);
  await page.getByLabel('When').selectOption('Last 365 days');
  await expect(page).toHaveURL(/days=365/);
  await expect(page.getByRole('img', { name: /By week/ })).toBeVisible();
  await page.getByLabel('What', { exact: true }).selectOption('Projects');
  await expect(page.getByText('What was added is summed up')).toBeVisible();
  await page.getByLabel('When').selectOption('Chosen days');
  await page.getByLabel('From', { exact: true }).fill('2020-01-01');
  await page.getByLabel('From', { exact: true }).blur();
  await expect(page.getByLabel('From', { exact: true })).toHaveAttribute('aria-invalid', 'true');
  await readable(page);
  await page.goto(`/organizations/${id}/usage?from=2020-01-01&to=2020-02-01`);
  await expect(page.getByRole('heading', { name: 'Nothing used' })).toBeVisible();
  await expect(page.getByLabel('To', { exact: true })).toHaveValue('2020-02-01');
});

test('everybody sees what they used themselves', async ({ page, site }) => {
  await used(page, site, 'teller');
  await page.context().clearCookies();
  await signIn(page, 'teller-worker', 'eight red apples on a sill');
  await page.getByRole('link', { name: 'My account' }).click();
  await page.getByRole('navigation', { name: 'My account' }).getByRole('link', { name: 'Usage' }).click();
  await expect(page.getByRole('heading', { level: 2, name: 'Usage' })).toBeFocused();
  await expect(page.getByRole('strong')).toHaveText('300');
  await expect(page.getByRole('heading', { name: 'By person' })).toHaveCount(0);
  await readable(page);
});
