// People: found among many, their roles with place and since when, how their account stands, handed out and erased.
import { type Page } from '@playwright/test';
import { ask, createUser, expect, readable, signIn, type Site, test } from './site';

test.use({ model: false });

const PASSWORD = 'ten small stones in a row';
const organization = async (page: Page): Promise<number> =>
  (await ask(page, 'GET', '/api/organizations')).items.find((org: any) => org.slug === 'demo').id;
const row = (page: Page, name: string) =>
  page.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) });

async function asSite(page: Page, site: Site, username: string): Promise<void> {
  createUser(site, username, PASSWORD, ['--role', 'super_admin']);
  await signIn(page, username, PASSWORD);
}

test('somebody is found by a part of their name, and given and taken roles', async ({
  signedIn: page,
  site,
}) => {
  createUser(site, 'weaver', PASSWORD, ['--role', 'viewer', '--org', 'demo']);
  const id = await organization(page);
  const team = await ask(page, 'POST', `/api/organizations/${id}/teams`, { name: 'Looms', slug: 'looms' });
  await page.goto(`/organizations/${id}/people`);
  await page.getByRole('searchbox', { name: 'Search people' }).fill('nobody-is-called-this');
  await expect(page.getByRole('heading', { name: 'Nobody fits' })).toBeVisible();
  await page.getByRole('searchbox', { name: 'Search people' }).fill('WEAV');
  await expect(page).toHaveURL(/q=WEAV/);
  await expect(row(page, 'weaver')).toBeVisible();
  await readable(page);
  await page.getByRole('link', { name: 'weaver', exact: true }).click();
  await expect(page.getByRole('heading', { level: 2, name: 'weaver' })).toBeFocused();
  await page.getByRole('button', { name: 'Give a role' }).click();
  await page.getByLabel('Where', { exact: true }).selectOption('Team Looms');
  await page.getByLabel('Role', { exact: true }).selectOption('Developer');
  await readable(page);
  await page.getByRole('dialog').getByRole('button', { name: 'Give role' }).click();
  const given = page.getByRole('row').filter({ has: page.getByRole('link', { name: 'Looms' }) });
  await expect(given).toContainText('Developer');
  await expect(given).toContainText(site.username);
  await expect(page.getByRole('button', { name: 'Give a role' })).toBeFocused();
  await readable(page);
  await page.getByRole('combobox', { name: /^May weaver/ }).selectOption('project.delete');
  await expect(page.getByText(/^No\. No role/)).toBeVisible();
  await page.getByRole('combobox', { name: /^May weaver/ }).selectOption('project.read');
  await expect(page.getByText('Yes, because of:')).toBeVisible();
  await page.getByRole('button', { name: 'Take Developer, Looms' }).click();
  await page.getByRole('button', { name: 'Take role' }).click();
  await expect(given).toHaveCount(0);
  // The button went with the row.
  await expect(page.getByRole('heading', { level: 2, name: 'Roles' })).toBeFocused();
  await ask(page, 'DELETE', `/api/teams/${team.id}`);
});

test('an account is switched off and on, unlocked, and gets a code for a new password', async ({
  signedIn: page,
  site,
  browser,
}) => {
  createUser(site, 'miller', PASSWORD, ['--role', 'developer', '--org', 'demo']);
  const theirs = await (await browser.newContext({ baseURL: site.url })).newPage();
  await signIn(theirs, 'miller', PASSWORD);
  const id = await organization(page);
  await page.goto(`/organizations/${id}/people?q=miller`);
  await page.getByRole('link', { name: 'miller', exact: true }).click();
  await page.getByRole('button', { name: 'Switch off' }).click();
  await readable(page);
  await page.getByRole('dialog').getByRole('button', { name: 'Switch off' }).click();
  await expect(page.getByText('Switched off').first()).toBeVisible();
  await theirs.reload();
  await expect(theirs.getByRole('button', { name: 'Sign in' })).toBeVisible();
  await page.getByRole('button', { name: 'Switch on' }).click();
  await expect(page.getByRole('button', { name: 'Switch off' })).toBeVisible();

  for (let time = 0; time < 3; time += 1) {
    await ask(theirs, 'POST', '/api/auth/login', { username: 'miller', password: 'something else' });
  }
  await page.reload();
  await page.getByRole('button', { name: 'Unlock' }).click();
  await expect(page.getByRole('button', { name: 'Unlock' })).toHaveCount(0);
  await page.getByRole('button', { name: 'Reset password' }).click();
  await page.getByRole('button', { name: 'Make code' }).click();
  const code = await page.getByLabel('Code', { exact: true }).inputValue();
  await readable(page);
  await page.getByRole('button', { name: 'Done' }).click();
  const password = 'eleven grey pigeons on a roof';
  await ask(theirs, 'POST', '/api/auth/reset', { code, password });
  await signIn(theirs, 'miller', password);
  await ask(theirs, 'POST', '/api/tokens', { name: 'millstone', expires_in_days: 30 });
  await theirs.context().close();
  await page.reload();
  await page.getByRole('button', { name: 'Show sessions' }).click();
  await expect(page.getByRole('row').filter({ hasText: '127.0.0.1' })).toContainText('Chrom');
  await page.getByRole('button', { name: 'Show tokens' }).click();
  await expect(page.getByRole('row').filter({ hasText: 'millstone' })).toBeVisible();
  await readable(page);
  await page.getByRole('button', { name: 'Delete millstone' }).click();
  await page.getByRole('button', { name: 'Delete token' }).click();
  await expect(page.getByRole('heading', { name: 'No tokens' })).toBeVisible();
  await page.getByRole('button', { name: 'End sessions' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'End sessions' }).click();
  await expect(page.getByRole('button', { name: 'End sessions' })).toHaveCount(0);
  await page.getByRole('button', { name: 'Remove from organisation' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove', exact: true }).click();
  await expect(page.getByRole('heading', { level: 2, name: 'People' })).toBeVisible();
});

test('who may only look sees the roles of a person and nothing to do about them', async ({ page, site }) => {
  createUser(site, 'gazer', PASSWORD, ['--role', 'viewer', '--org', 'demo']);
  await signIn(page, 'gazer', PASSWORD);
  const id = await organization(page);
  await page.goto(`/organizations/${id}/people`);
  await page.getByRole('link', { name: 'gazer', exact: true }).click();
  await expect(page.getByRole('cell', { name: 'Viewer' })).toBeVisible();
  await expect(page.getByRole('button', { name: /Give|Take|Switch|Reset|Erase/ })).toHaveCount(0);
  await readable(page);
  await page.goto(`/organizations/${id}/people/900000`);
  await expect(page.getByText('Nobody with this number holds a role here.')).toBeVisible();
  await expect(page.getByRole('link', { name: 'Site', exact: true })).toHaveCount(0);
  await page.goto('/site/people');
  await expect(page.getByRole('heading', { name: 'No such page' })).toBeVisible();
});

test('the site makes an account, hands its data out and erases it', async ({ page, site }) => {
  await asSite(page, site, 'registrar');
  await page.getByRole('link', { name: 'Site', exact: true }).click();
  await page.getByRole('navigation', { name: 'Site' }).getByRole('link', { name: 'People' }).click();
  await page.getByRole('button', { name: 'New account' }).click();
  await page.getByLabel('User name').fill('fleeting');
  await page.getByLabel('Mail address').fill('not an address');
  await page.getByLabel('Mail address').fill('fleeting@example.org');
  await page.getByLabel('First password').fill('passwordpassword');
  await page.getByRole('button', { name: 'Make account' }).click();
  await expect(page.getByLabel('First password')).toHaveAttribute('aria-invalid', 'true');
  await readable(page);
  await page.getByLabel('First password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Make account' }).click();
  await expect(page.getByRole('heading', { level: 2, name: 'fleeting' })).toBeVisible();
  await expect(page.getByText('fleeting holds no role.')).toBeVisible();
  await readable(page);
  await page.goto('/site/people?only=no_role');
  await expect(row(page, 'fleeting')).toBeVisible();
  await readable(page);
  await page.getByRole('link', { name: 'fleeting', exact: true }).click();
  const saved = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Export all data' }).click();
  expect((await saved).suggestedFilename()).toMatch(/\.zip$/);
  await page.getByRole('button', { name: 'Erase for good' }).click();
  const sure = page.getByRole('dialog');
  await expect(sure.getByRole('button', { name: 'Erase for good' })).toBeDisabled();
  await sure.getByLabel('Type fleeting to go on').fill('fleeting');
  await sure.getByRole('button', { name: 'Erase for good' }).click();
  await expect(page.getByText('What stays:')).toBeVisible();
  await readable(page);
  await page.getByRole('button', { name: 'Done' }).click();
  await page.getByRole('searchbox', { name: 'Search people' }).fill('fleeting');
  await expect(page.getByRole('heading', { name: 'Nobody fits' })).toBeVisible();
});
