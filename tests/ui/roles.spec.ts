// Roles: the matrix by mouse and by keyboard, what may not be given, and who can do what because of which role.
import { type Page } from '@playwright/test';
import { ask, createUser, expect, readable, signIn, test } from './site';

test.use({ model: false });

const organization = async (page: Page): Promise<string> =>
  `/organizations/${(await ask(page, 'GET', '/api/organizations')).items[0].id}`;

async function makeRole(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name: 'New role' }).click();
  await page.getByLabel('Name').fill(name);
  await page.getByRole('button', { name: 'Make role' }).click();
  await expect(page.getByRole('columnheader', { name, exact: true })).toBeVisible();
}

const box = (page: Page, role: string, code: string) =>
  page.getByRole('checkbox', { name: `${role}: ${code}`, exact: true });

test('a role is made, ticked by keyboard and counts at once', async ({ signedIn: page, site, browser }) => {
  const org = await organization(page);
  await page.goto(`${org}/roles`);
  await makeRole(page, 'QA Engineer');
  await expect(page.getByRole('cell', { name: 'qa_engineer', exact: true })).toBeVisible();
  createUser(site, 'checker', 'nine quiet lamps burn low', ['--role', 'qa_engineer', '--org', 'demo']);
  const theirs = await (await browser.newContext({ baseURL: site.url })).newPage();
  await signIn(theirs, 'checker', 'nine quiet lamps burn low');
  await expect(theirs.getByRole('link', { name: 'URL shortener' })).toBeVisible();
  await expect(theirs.getByRole('link', { name: 'New project' })).toHaveCount(0);

  await box(page, 'QA Engineer', 'project.read').focus();
  await page.keyboard.press('ArrowUp');
  await expect(box(page, 'QA Engineer', 'project.create')).toBeFocused();
  await page.keyboard.press('Space');
  await expect(box(page, 'QA Engineer', 'project.create')).toBeChecked();
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('Space');
  await expect(page.getByText(/is built in and cannot be changed/)).toBeVisible();
  await readable(page);
  await page.getByRole('button', { name: 'Save 1 change' }).click();
  await expect(page.getByText('The roles are changed')).toBeVisible();
  await expect(page.getByRole('button', { name: /Save/ })).toHaveCount(0);
  await theirs.reload();
  await expect(theirs.getByRole('link', { name: 'New project' })).toBeVisible();
  await theirs.context().close();
  // It is held, so nothing offers to delete it.
  await page.reload();
  await expect(page.getByRole('cell', { name: 'qa_engineer', exact: true })).toBeVisible();
  await expect(page.getByRole('button', { name: 'Delete QA Engineer' })).toHaveCount(0);
});

test('nobody gives what they do not hold', async ({ signedIn: page }) => {
  await page.goto(`${await organization(page)}/roles`);
  await makeRole(page, 'Planner');
  // The demo's account administers an organisation; quotas are the site's.
  const beyond = box(page, 'Planner', 'quota.manage');
  await expect(beyond).toHaveAttribute('aria-disabled', 'true');
  await beyond.focus();
  await page.keyboard.press('Space');
  await expect(beyond).not.toBeChecked();
  await expect(page.getByText('You do not hold quota.manage here')).toBeVisible();
  await page.getByRole('button', { name: 'Delete Planner' }).click();
  await page.getByRole('button', { name: 'Delete role' }).click();
  await expect(page.getByRole('columnheader', { name: 'Planner' })).toHaveCount(0);
});

test('who can do something is told with the role that lets them', async ({ signedIn: page, site }) => {
  await page.goto(`${await organization(page)}/roles`);
  await page.getByRole('combobox', { name: /^Permission/ }).selectOption('project.delete');
  await expect(page).toHaveURL(/can=project\.delete/);
  const row = page
    .getByRole('row')
    .filter({ has: page.getByRole('cell', { name: site.username, exact: true }) });
  await expect(row.first()).toContainText(/admin.*over the organisation since/i);
  await page.reload();
  await expect(row.first()).toBeVisible();
  await page.getByLabel('Role held').selectOption('Organisation admin');
  await expect(page).toHaveURL(/can=project\.delete.*role=org_admin/);
  await expect(row.last()).toContainText('The whole organisation');
});

test('who may only look sees the matrix and changes nothing', async ({ page, site }) => {
  createUser(site, 'onlooker', 'three old boats drift by', ['--role', 'viewer', '--org', 'demo']);
  await signIn(page, 'onlooker', 'three old boats drift by');
  await page.goto(`${await organization(page)}/roles`);
  const read = box(page, 'Viewer', 'project.read');
  await expect(read).toBeChecked();
  await read.click({ force: true });
  await expect(read).toBeChecked();
  await expect(page.getByRole('button', { name: /New role|Save/ })).toHaveCount(0);
});
