// Collections: plugins that belong together are listed, shared, and installed as one.
import { match } from '../../embedded-ui/src/lib/routes';
import { CODE, stock } from './bundle';
import { ask, createUser, expect, readable, signIn, test } from './site';

// A site of its own, for it is stocked from the mirror.
test.use({ model: false, settings: { RESOFTAI_PLUGINS_SCAN_WARN: 'medium' } });

const PASSWORD = 'seven long rows of beans';

test('what addresses of collections and submissions mean', () => {
  expect(match('/marketplace/collections')).toEqual({ page: 'collections' });
  expect(match('/marketplace/collections/12')).toEqual({ page: 'collection', id: 12 });
  expect(match('/marketplace/submissions')).toEqual({ page: 'submissions' });
  expect(match('/marketplace/submissions/7')).toEqual({ page: 'submission', id: 7 });
  for (const wrong of ['collections/versions', 'submissions/0', 'submissions/7/more', 'collections/x'])
    expect(match(`/marketplace/${wrong}`), wrong).toEqual({ page: 'not-found' });
});

test('a collection is made, shared, changed, installed as one and deleted', async ({
  page,
  site,
  browser,
}) => {
  test.setTimeout(240_000);
  createUser(site, 'curator', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'curator', PASSWORD);
  const about = { license: 'MIT', author: 'Ada' };
  await stock(page, [
    { slug: 'charts', version: '1.0.0', name: 'Charts', description: 'Charts, drawn.', ...about },
    { slug: 'report', version: '1.0.0', name: 'Reports', dependencies: ['shapes'], ...about },
    { slug: 'shapes', version: '1.0.0', name: 'Shapes', ...about },
    { slug: 'words', version: '1.0.0', name: 'Words', description: 'Counts words.', ...about },
  ]);

  // Nothing yet, and the first one.
  await page.goto('/marketplace');
  const parts = page.getByRole('navigation', { name: 'Marketplace' });
  await parts.getByRole('link', { name: 'Collections' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Collections' })).toBeFocused();
  await expect(page.getByRole('heading', { name: 'No collections yet' })).toBeVisible();
  await expect(parts.getByRole('link', { name: 'Collections' })).toHaveAttribute('aria-current', 'page');
  await readable(page);
  await page.getByRole('button', { name: 'New collection' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('First steps');
  await dialog.getByLabel('Description').fill('What everybody begins with.');
  await expect(dialog.getByRole('button', { name: 'Make collection' })).toBeDisabled();
  const choices = dialog.getByRole('list', { name: 'Plugins to choose from' });
  await expect(choices.getByRole('checkbox')).toHaveCount(4);
  await dialog.getByRole('searchbox', { name: 'Plugins' }).fill('report');
  await dialog.getByRole('searchbox', { name: 'Plugins' }).press('Enter');
  await expect(choices.getByRole('checkbox')).toHaveCount(1);
  await choices.getByRole('checkbox', { name: 'Reports' }).check();
  await dialog.getByRole('searchbox', { name: 'Plugins' }).fill('drawn');
  // What was chosen stays in sight.
  await expect(choices.getByRole('checkbox')).toHaveCount(2);
  await expect(choices.getByRole('checkbox').first()).toBeChecked();
  await choices.getByRole('checkbox', { name: 'Charts' }).check();
  await expect(dialog.getByText('2 chosen.')).toBeVisible();
  await readable(page);
  await dialog.getByRole('button', { name: 'Make collection' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'First steps' })).toBeFocused();
  await expect(page).toHaveURL(/\/marketplace\/collections\/\d+$/);
  const address = page.url();
  const cards = page.getByRole('main').getByRole('article');
  await expect(cards.getByRole('link')).toHaveText(['Reports', 'Charts']);
  await readable(page);

  // A second one of that name is refused at its field.
  await page.getByRole('link', { name: 'Collections' }).first().click();
  await page.getByRole('button', { name: 'New collection' }).click();
  await dialog.getByLabel('Name').fill('first STEPS');
  await choices.getByRole('checkbox', { name: 'Words' }).check();
  await dialog.getByRole('button', { name: 'Make collection' }).click();
  await expect(dialog.getByLabel('Name')).toHaveAttribute('aria-invalid', 'true');
  await readable(page);
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('searchbox', { name: 'Search collections' }).fill('nothing like it');
  await expect(page.getByRole('heading', { name: 'None fits' })).toBeVisible();
  await page.getByRole('searchbox', { name: 'Search collections' }).fill('STEPS');
  const listed = page.getByRole('row').getByRole('link', { name: 'First steps' });
  await expect(listed).toBeVisible();
  await readable(page);
  await listed.click();

  // Shared: another person opens the address, and may only look.
  await page.getByRole('button', { name: 'Share' }).click();
  await expect(dialog.getByLabel('Link')).toHaveValue(address);
  await readable(page);
  await page.keyboard.press('Escape');
  await expect(page.getByRole('button', { name: 'Share' })).toBeFocused();
  createUser(site, 'reader', PASSWORD, ['--role', 'viewer', '--org', 'demo']);
  const theirs = await (await browser.newContext({ baseURL: site.url })).newPage();
  await signIn(theirs, 'reader', PASSWORD);
  await theirs.goto(address);
  await expect(theirs.getByRole('heading', { level: 1, name: 'First steps' })).toBeVisible();
  await expect(theirs.getByRole('button', { name: 'Share' })).toBeVisible();
  await expect(theirs.getByRole('button', { name: /Install|Change|Delete/ })).toHaveCount(0);
  await theirs.goto('/marketplace/collections');
  await expect(theirs.getByRole('row').filter({ hasText: 'First steps' })).toContainText(
    'Everybody on the site',
  );
  await expect(theirs.getByRole('button', { name: 'New collection' })).toHaveCount(0);
  await theirs.context().close();

  // Changed: another description, another plugin.
  await page.getByRole('button', { name: 'Change' }).click();
  await dialog.getByLabel('Description').fill('What everybody begins with, and words.');
  await choices.getByRole('checkbox', { name: 'Words' }).check();
  await choices.getByRole('checkbox', { name: 'Charts' }).uncheck();
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText('What everybody begins with, and words.')).toBeVisible();
  await expect(cards.getByRole('link')).toHaveText(['Reports', 'Words']);

  // What it comes to is shown first; nothing is done when one goes.
  await page.getByRole('button', { name: 'Install all' }).click();
  const steps = dialog.getByRole('list', { name: 'What it comes to' }).locator('> li');
  await expect(steps).toHaveCount(3);
  await expect(steps.filter({ hasText: 'shapes' })).toContainText('New');
  await expect(dialog).toContainText(/3 packages, [\d.]+ KiB/);
  await readable(page);
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  expect((await ask(page, 'GET', '/api/plugins')).items).toEqual([]);
  // One that is there stays as it is.
  await ask(page, 'POST', '/api/marketplace/plugins/words/install', {});
  await page.getByRole('button', { name: 'Install all' }).click();
  await expect(steps).toHaveCount(2);
  await dialog.getByRole('button', { name: 'Install', exact: true }).click();
  await expect(dialog.getByRole('heading', { name: 'First steps is installed' })).toBeVisible();
  await expect(dialog.getByRole('list', { name: 'Installed' }).getByRole('listitem')).toHaveText([
    'Shapes 1.0.0',
    'Reports 1.0.0',
  ]);
  await expect(dialog.getByRole('button', { name: 'Done' })).toBeFocused();
  await readable(page);
  await dialog.getByRole('button', { name: 'Done' }).click();
  await expect(cards.filter({ hasText: 'Reports' })).toContainText('Installed 1.0.0');
  await page.getByRole('button', { name: 'Install all' }).click();
  await expect(dialog).toContainText('All of it is installed already.');
  await expect(dialog.getByRole('button', { name: 'Install', exact: true })).toBeDisabled();
  await dialog.getByRole('button', { name: 'Cancel' }).click();

  // Deleted, after a question.
  await page.getByRole('button', { name: 'Delete' }).click();
  await dialog.getByRole('button', { name: 'Keep' }).click();
  await page.getByRole('button', { name: 'Delete' }).click();
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await expect(page.getByRole('heading', { name: 'No collections yet' })).toBeVisible();
  await page.goto(address);
  await expect(page.getByRole('alert')).toContainText('Could not read the collection.');
  await readable(page);
});

test('an organisation keeps collections of its own; what cannot be had is told', async ({ page, site }) => {
  createUser(site, 'installer', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'installer', PASSWORD);
  await stock(page, [{ slug: 'charts', version: '1.0.0', name: 'Charts' }]);
  await page.context().clearCookies();
  createUser(site, 'keeper', PASSWORD, ['--role', 'org_admin', '--org', 'demo']);
  await signIn(page, 'keeper', PASSWORD);
  await page.goto('/marketplace/collections');
  await page.getByRole('button', { name: 'New collection' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByLabel('For').getByRole('option')).toHaveText(['Demo']);
  await dialog.getByLabel('Name').fill('Ours');
  await dialog.getByRole('checkbox', { name: 'Charts' }).check();
  await dialog.getByRole('button', { name: 'Make collection' }).click();
  await expect(page.getByRole('button', { name: 'Delete' })).toBeVisible();
  await expect(page.getByRole('button', { name: 'Install all' })).toHaveCount(0);
  const id = Number(page.url().split('/').at(-1));
  const body = { name: 'Ours', description: '', plugins: ['charts', 'nobody-has-this'] };
  await ask(page, 'PUT', `/api/marketplace/collections/${id}`, body);
  await page.reload();
  await expect(page.getByRole('note')).toContainText('nobody-has-this');
  await readable(page);

  await page.context().clearCookies();
  await signIn(page, 'installer', PASSWORD);
  await page.goto(`/marketplace/collections/${id}`);
  await page.getByRole('button', { name: 'Install all' }).click();
  await expect(dialog.getByRole('alert')).toContainText('nobody-has-this');
  await expect(dialog.getByRole('button', { name: 'Install', exact: true })).toBeDisabled();
  await readable(page);
});

test('what a scan makes of it is told before anything is installed', async ({ page, site }) => {
  createUser(site, 'doubter', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'doubter', PASSWORD);
  const hidden = "import base64\ndef unused():\n    exec(base64.b64decode('cGFzcw=='))\n";
  const files = { 'main.py': `${CODE}${hidden}` };
  await stock(page, [{ slug: 'secretive', version: '1.0.0', name: 'Secretive', files }]);
  const body = { name: 'Doubtful', plugins: ['secretive'] };
  const { id } = await ask(page, 'POST', '/api/marketplace/collections', body);
  await page.goto(`/marketplace/collections/${id}`);
  const dialog = page.getByRole('dialog');
  await page.getByRole('button', { name: 'Install all' }).click();
  await expect(dialog).toContainText('python-hidden-code');
  await dialog.getByRole('button', { name: 'Install', exact: true }).click();
  await expect(dialog.getByRole('alert')).toContainText('Nothing was installed.');
  await readable(page);
  await dialog.getByRole('button', { name: 'Cancel' }).click();

  await page.getByRole('article').getByRole('link', { name: 'Secretive' }).click();
  await page.getByRole('button', { name: 'Install 1.0.0' }).click();
  await expect(dialog).toContainText('A scan found what keeps it out');
  await dialog.getByLabel('Reason to install it all the same').fill('We read it.');
  await readable(page);
  await dialog.getByRole('button', { name: 'Install', exact: true }).click();
  await expect(page).toHaveURL(/\/plugins\/secretive$/);
  await page.goto('/plugins/secretive/scan');
  await expect(page.getByText('We read it.')).toBeVisible();
});
