// Templates: chosen in a project, filled in, looked at, written into it.
import { bringIn, example, packed } from './plugin';
import { withScribe } from './scribe';
import { ask, createUser, demoOf, expect, readable, signIn, test } from './site';

test.use({ model: false });

const PASSWORD = 'seven tall ladders lean on walls';

const TOWER = packed(
  {
    slug: 'bell-tower',
    ...{ name: 'Bell tower', version: '1.0.0', category: 'template', entry_point: 'main.py:Tower' },
    ...{ description: 'A tower with bells.' },
  },
  [
    'from resoftai.plugins.base import TemplatePlugin',
    'class Tower(TemplatePlugin):',
    '    def load(self, context):',
    '        return True',
    '    def activate(self):',
    '        return True',
    '    def deactivate(self):',
    '        return True',
    '    def unload(self):',
    '        return True',
    '    def get_template_name(self):',
    '        return "Bell tower"',
    '    def get_template_variables(self):',
    '        return [{"name": "town", "description": "Where it stands."},',
    '            {"name": "bells", "type": "integer", "default": 3},',
    '            {"name": "metal", "type": "choice", "choices": ["bronze", "iron"], "default": "bronze"}]',
    '    def get_template_files(self):',
    '        return {"{{ town|snake_case }}/bells.txt": "{{ bells }} of {{ metal }} in {{ town }}\\n",',
    '            "README.md": "# {{ town }}\\n"}',
  ],
);

test('a template is filled in, looked at and written into a project, over what is there when wished', async ({
  page,
  site,
}) => {
  createUser(site, 'builder', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'builder', PASSWORD);
  const org = await demoOf(page);
  const made = { name: 'Towers', requirements: 'A tower.', organization_id: org };
  const { id } = await ask(page, 'POST', '/api/projects', made);
  await page.goto(`/projects/${id}/templates`);
  await expect(page.getByRole('heading', { name: 'No templates here' })).toBeVisible();
  await readable(page);
  await bringIn(page, TOWER);
  await page.goto(`/projects/${id}/files`);
  await page.getByRole('link', { name: 'From a template' }).click();
  await expect(page.getByText('A tower with bells.')).toBeVisible();
  await readable(page);
  await page.getByRole('link', { name: 'Bell tower' }).click();
  await expect(page.getByText('Where it stands.')).toBeVisible();
  await page.getByLabel('Town').fill('Old Harbour');
  await page.getByLabel('Bells').fill('5');
  await page.getByLabel('Metal').selectOption('iron');
  await page.getByRole('button', { name: 'Show its files' }).click();
  await page.getByText('old_harbour/bells.txt').click();
  await expect(page.getByText('5 of iron in Old Harbour')).toBeVisible();
  await readable(page);
  await page.getByRole('button', { name: 'Write them into the project' }).click();
  await expect(page.getByText('2 files are written.')).toBeVisible();
  await expect(page).toHaveURL(/\/files$/);
  await expect(page.getByText('bells.txt')).toBeVisible();

  // What is there with another content is named first.
  await page.goto(`/projects/${id}/templates?template=bell-tower`);
  await page.getByLabel('Town').fill('Old harbour');
  await page.getByRole('button', { name: 'Write them into the project' }).click();
  await expect(page.getByRole('alert')).toContainText('README.md');
  await readable(page);
  await page.getByRole('button', { name: 'Give those files new versions' }).click();
  await expect(page.getByText('2 files are written.')).toBeVisible();
  const files = await ask(page, 'GET', `/api/projects/${id}/files`);
  expect(files.items.map(({ version }: { version: number }) => version)).toEqual([2, 2]);
});

test('a project begins with a template and a workflow from the form that makes it', async ({
  page,
  site,
}) => {
  test.setTimeout(120_000);
  createUser(site, 'steeplejack', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'steeplejack', PASSWORD);
  const tower = await ask(page, 'GET', '/api/plugins');
  if (!tower.items.some(({ slug }: { slug: string }) => slug === 'bell-tower')) await bringIn(page, TOWER);
  await bringIn(page, example('api-first'));
  const org = await demoOf(page);
  const close = await withScribe(page, org, 'steeple-scribe');
  await page.goto('/projects/new');
  await page.getByLabel('Name', { exact: true }).fill('New tower');
  await page.getByLabel('Requirement').fill('Ring at noon.');
  if (await page.getByLabel('Organisation').isVisible()) {
    await page.getByLabel('Organisation').selectOption(String(org));
  }
  await page.getByLabel('Begin with').selectOption('Bell tower');
  await page.getByLabel('Bells').fill('7');
  await page.getByLabel('Model', { exact: true }).selectOption('steeple-scribe');
  await page.getByLabel('Workflow').selectOption('API first');

  // Nothing is made before the values fit.
  await page.getByRole('button', { name: 'Create and start' }).click();
  await expect(page.getByLabel('Town')).toHaveJSProperty('validity.valueMissing', true);
  await page.getByLabel('Town').fill('New Harbour');
  await page.getByRole('button', { name: 'Show its files' }).click();
  await page.getByText('new_harbour/bells.txt').click();
  await expect(page.getByText('7 of bronze in New Harbour')).toBeVisible();
  await readable(page);
  await page.getByRole('button', { name: 'Create and start' }).click();
  const stages = page.getByRole('list', { name: 'Stages' }).getByRole('button');
  await expect(stages.nth(1)).toContainText('Api review');
  await page.getByRole('link', { name: 'Files' }).click();
  await expect(page.getByText('bells.txt')).toBeVisible();
  close();
});
