// Teams: made, filled, their roles changed, left and deleted; the default team follows the organisation.
import { type Page } from '@playwright/test';
import { ask, createUser, expect, readable, signIn, test } from './site';

test.use({ model: false });

const organization = async (page: Page): Promise<string> =>
  `/organizations/${(await ask(page, 'GET', '/api/organizations')).items[0].id}`;

test('a team is made and people are taken in with a role', async ({ signedIn: page, site }) => {
  createUser(site, 'painter', 'two slow kites turn south', ['--role', 'developer', '--org', 'demo']);
  await page.goto(`${await organization(page)}/teams`);
  await page.getByRole('button', { name: 'New team' }).click();
  await page.getByLabel('Name', { exact: true }).fill('Front End');
  await page.getByRole('button', { name: 'Make team' }).click();
  await expect(page.getByRole('heading', { level: 2, name: 'Front End' })).toBeVisible();
  await expect(page.getByLabel(`Role of ${site.username}`)).toHaveValue('owner');
  await page.getByRole('button', { name: 'Add member' }).click();
  await page.getByLabel('User name').fill('painter');
  await page.getByLabel('Role', { exact: true }).selectOption('Viewer');
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByLabel('Role of painter').selectOption('Admin');
  await expect(page.getByText('painter is admin now.')).toBeVisible();
  await readable(page);
  // The last owner stays one, and the page shows again what holds.
  await page.getByLabel(`Role of ${site.username}`).selectOption('Member');
  await expect(page.getByLabel(`Role of ${site.username}`)).toHaveValue('owner');
  await page.getByRole('button', { name: 'Remove painter' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await expect(page.getByLabel('Role of painter')).toHaveCount(0);
  await page.getByRole('button', { name: 'Delete team' }).click();
  const sure = page.getByRole('dialog');
  await expect(sure.getByRole('button', { name: 'Delete team' })).toBeDisabled();
  await sure.getByLabel('Type front-end to go on').fill('front-end');
  await sure.getByRole('button', { name: 'Delete team' }).click();
  await expect(page.getByRole('heading', { level: 2, name: 'Teams' })).toBeVisible();
  await expect(page.getByRole('link', { name: 'Front End' })).toHaveCount(0);
});

test('the default team has everybody of the organisation and offers nothing it would refuse', async ({
  signedIn: page,
  site,
}) => {
  await page.goto(`${await organization(page)}/teams`);
  await readable(page);
  await page.getByRole('row').filter({ hasText: 'Default' }).getByRole('link').click();
  await expect(page.getByRole('cell', { name: site.username, exact: true })).toBeVisible();
  await expect(page.getByRole('button', { name: /Add member|Remove|Leave|Delete/ })).toHaveCount(0);
});

test('who is in a team only is offered what they may do there, and nothing else', async ({ page, site }) => {
  const password = 'five loud drums at night';
  createUser(site, 'bandleader', password, ['--role', 'super_admin']);
  createUser(site, 'soloist', password);
  await signIn(page, 'bandleader', password);
  const { items } = await ask(page, 'GET', '/api/organizations');
  const own = `/organizations/${items.find((org: any) => org.slug === 'demo').id}`;
  const team = await ask(page, 'POST', `/api${own}/teams`, { name: 'Brass', slug: 'brass' });
  const given = { username: 'soloist', role: 'team_admin', team_id: team.id };
  await ask(page, 'POST', `/api${own}/role-assignments`, given);
  const quota = { resource_type: 'llm_tokens', period: 'monthly', scope: 'team', team_id: team.id };
  await ask(page, 'POST', `/api${own}/quotas`, { ...quota, limit_value: 5000 });
  await page.context().clearCookies();

  await signIn(page, 'soloist', password);
  await page.goto(own);
  await expect(page.getByText('Team admin')).toBeVisible();
  const parts = page.getByRole('navigation', { name: 'Organisation', exact: true });
  await expect(parts.getByRole('link', { name: /People|Usage|Audit|Settings/ })).toHaveCount(0);
  await readable(page);
  await parts.getByRole('link', { name: 'Teams' }).click();
  await expect(page.getByRole('button', { name: 'New team' })).toHaveCount(0);
  await page.getByRole('link', { name: 'Brass' }).click();
  // The team's own limits and use are for its people, though those of the organisation are not.
  await expect(page.getByRole('meter', { name: 'Model tokens a month' })).toHaveAttribute(
    'aria-valuetext',
    '0 of 5,000',
  );
  await expect(page.getByRole('heading', { name: 'Nothing used' })).toBeVisible();
  await page.getByLabel('Tokens of a run').fill('2500');
  await page.getByRole('button', { name: 'Save settings' }).click();
  await expect(page.getByText('The team’s settings are saved.')).toBeVisible();
  await page.reload();
  await expect(page.getByLabel('Tokens of a run')).toHaveValue('2500');
  await page.getByRole('button', { name: 'Change' }).click();
  await page.getByLabel('What for').fill('Marches');
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText('Marches')).toBeVisible();
  await page.getByRole('button', { name: 'Invite', exact: true }).click();
  await page.getByLabel('Mail addresses').fill('tuba@example.org');
  await expect(
    page.getByLabel('Role', { exact: true }).getByRole('option', { name: 'Organisation admin' }),
  ).toHaveCount(0);
  await page.getByRole('dialog').getByRole('button', { name: 'Invite' }).click();
  await expect(page.getByLabel('Link')).toHaveValue(/invitation#/);
  await page.getByRole('button', { name: 'Done' }).click();
  await expect(page.getByRole('cell', { name: 'tuba@example.org', exact: true })).toBeVisible();
  await readable(page);
  await page.goto('/projects/new');
  await expect(page.getByLabel('Team', { exact: true }).getByRole('option')).toHaveText(['Brass']);
  await page.getByLabel('Name').fill('A march');
  await page.getByLabel('Requirement').fill('Four beats.');
  await page.getByRole('button', { name: 'Create only' }).click();
  await expect(page.getByRole('heading', { name: 'A march' })).toBeVisible();
  await page.getByRole('link', { name: 'Settings' }).click();
  await expect(page.getByRole('button', { name: 'Save' })).toBeEnabled();
});
