// A workflow of a plugin: chosen when a run starts, kept to by the run.
import { bringIn, example } from './plugin';
import { withScribe } from './scribe';
import { ask, createUser, demoOf, expect, readable, signIn, test } from './site';

test.use({ model: false });

const PASSWORD = 'four wide rivers meet at dawn';
const MODEL = 'ferry-scribe';

test('a run keeps to the workflow that was chosen for it', async ({ page, site }) => {
  test.setTimeout(120_000);
  createUser(site, 'pilot', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'pilot', PASSWORD);
  await bringIn(page, example('api-first'));
  const org = await demoOf(page);
  const close = await withScribe(page, org, MODEL);
  const made = { name: 'Ferry', requirements: 'A timetable.', organization_id: org };
  const { id } = await ask(page, 'POST', '/api/projects', made);
  await page.goto(`/projects/${id}`);
  await page.getByRole('button', { name: 'Start the agents' }).first().click();
  await page.getByLabel('Workflow').selectOption('API first');
  await expect(page.getByText('Requirement analysis, Api design, Api review, Development, Testing')).toBeVisible();
  await page.getByLabel('Model').selectOption(MODEL);
  await readable(page);
  await page.getByRole('dialog').getByRole('button', { name: 'Start', exact: true }).click();
  const stages = page.getByRole('list', { name: 'Stages' }).getByRole('button');
  await expect(stages).toHaveCount(4);
  await expect(stages.nth(1)).toContainText('Api review');
  await expect(stages.nth(1)).toContainText('Architect');
  await expect(page.getByRole('button', { name: 'Run again' })).toBeVisible({ timeout: 60_000 });
  await readable(page);
  await page.getByRole('link', { name: 'Files' }).click();
  await expect(page.getByText('api-review.md')).toBeVisible();
  close();
});
