// Quotas: what is used against which limit, another limit for everybody, for one person, and for a time.
import { type Page } from '@playwright/test';
import { ask, createUser, expect, operate, readable, signIn, test } from './site';

test.use({ model: false });

/** Other tests on the site make organisations, so the demo's own is looked for. */
async function organization(page: Page): Promise<string> {
  const { items } = await ask(page, 'GET', '/api/organizations');
  return `/organizations/${items.find((org: any) => org.slug === 'demo').id}/quotas`;
}

/** Quotas are the site's to set. */
async function asSite(page: Page, site: any, username: string): Promise<void> {
  createUser(site, username, 'six brown hens cross over', ['--role', 'super_admin']);
  await signIn(page, username, 'six brown hens cross over');
  await page.goto(await organization(page));
}

test('who may only look sees meters, and no way to change them', async ({ signedIn: page }) => {
  await page.goto(await organization(page));
  await expect(page.getByRole('meter', { name: /Model tokens a month/ })).toBeVisible();
  await expect(page.getByRole('meter', { name: 'Storage' })).toBeVisible();
  await expect(page.getByRole('button', { name: /Edit|Override|New quota/ })).toHaveCount(0);
  await readable(page);
});

test('a limit is changed, overridden for a time and reset', async ({ page, site }) => {
  await asSite(page, site, 'rationer');
  const row = page.getByRole('listitem').filter({ has: page.getByRole('meter', { name: /^Projects/ }) });
  await row.getByRole('button', { name: /^Edit/ }).click();
  await page.getByLabel('Limit', { exact: true }).fill('7');
  await page.getByLabel('At the limit').selectOption('Soft');
  await page.getByLabel('Warn at').fill('50, nonsense');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByLabel('Warn at')).toHaveAttribute('aria-invalid', 'true');
  await readable(page);
  await page.getByLabel('Warn at').fill('50, 100');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(row).toContainText('of 7');
  await expect(row).toContainText('Soft limit');
  await row.getByRole('button', { name: /^Override/ }).click();
  await page.getByLabel('Limit', { exact: true }).fill('70');
  await page.getByLabel('Reason').fill('The autumn fair');
  await page.getByRole('button', { name: 'Set override' }).click();
  await expect(row).toContainText('of 70');
  await expect(row).toContainText('its own limit is 7. The autumn fair');
  await row.getByRole('button', { name: /^Override/ }).click();
  await page.getByRole('button', { name: 'End override' }).click();
  await expect(row).toContainText('of 7');
  await row.getByRole('button', { name: /^Reset/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Reset' }).click();
  await expect(row).toContainText('of 500');
  await expect(row).toContainText('Hard limit');
});

test('a person gets a quota of their own, and loses it again', async ({ page, site }) => {
  await asSite(page, site, 'rationer2');
  await page.getByRole('button', { name: 'New quota' }).click();
  await page.getByLabel('Whose use').selectOption('A person’s');
  await page.getByLabel('User name').fill('nobody-here');
  await page.getByLabel('Limit', { exact: true }).fill('1000');
  await page.getByRole('button', { name: 'Make quota' }).click();
  await expect(page.getByLabel('User name')).toHaveAttribute('aria-invalid', 'true');
  await page.getByLabel('User name').fill(site.username);
  await page.getByRole('button', { name: 'Make quota' }).click();
  const row = page.getByRole('listitem').filter({ has: page.getByRole('meter', { name: /, person/ }) });
  await expect(row).toContainText('of 1,000');
  await row.getByRole('button', { name: /^Delete/ }).click();
  await page.getByRole('button', { name: 'Delete quota' }).click();
  await expect(row).toHaveCount(0);
});

test('a team gets a quota of its own, told by its name', async ({ page, site }) => {
  await asSite(page, site, 'rationer4');
  const id = page.url().match(/organizations\/(\d+)/)![1];
  const team = await ask(page, 'POST', `/api/organizations/${id}/teams`, {
    name: 'Presses',
    slug: 'presses',
  });
  await page.getByRole('button', { name: 'New quota' }).click();
  await page.getByLabel('Whose use').selectOption('A team’s');
  await page.getByLabel('Team', { exact: true }).selectOption('Presses');
  await page.getByLabel('Limit', { exact: true }).fill('900');
  await readable(page);
  await page.getByRole('button', { name: 'Make quota' }).click();
  const row = page.getByRole('listitem').filter({ has: page.getByRole('meter', { name: /, team Presses/ }) });
  await expect(row).toContainText('of 900');
  await ask(page, 'DELETE', `/api/teams/${team.id}`);
});

test('a raised limit counts at once', async ({ page, site }) => {
  operate(site, ['org', 'create', '--name', 'Small', '--slug', 'small', '--tier', 'free']);
  await asSite(page, site, 'rationer3');
  const id = (await ask(page, 'GET', '/api/organizations')).items.find((org: any) => org.slug === 'small').id;
  const make = () =>
    ask(page, 'POST', '/api/projects', { name: 'One', requirements: 'x', organization_id: id });
  await ask(page, 'PUT', `/api/organizations/${id}/quotas/projects`, { limit_value: 0 });
  expect((await make()).code).toBe('quota_exceeded');
  await page.goto(`/organizations/${id}/quotas`);
  await page.getByRole('button', { name: 'Edit Projects' }).click();
  await page.getByLabel('Limit', { exact: true }).fill('1');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('meter', { name: 'Projects' })).toHaveAttribute('aria-valuetext', /of 1$/);
  expect((await make()).id).toBeGreaterThan(0);
});
