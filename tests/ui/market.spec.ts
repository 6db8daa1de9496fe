// The marketplace: what the mirror brings is found, understood and installed with what it needs.
import type { Page } from '@playwright/test';
import { changeTo, lowered, pictureAddress, pictureName } from '../../embedded-ui/src/pages/market/market';
import { match } from '../../embedded-ui/src/lib/routes';
import { stock } from './bundle';
import { ask, createUser, expect, readable, signIn, type Site, test } from './site';

// A site of its own: that of the others trusts no repository yet, and mirror.spec.ts begins there.
test.use({ model: false, settings: { RESOFTAI_MIRROR_SERVE: 'true' } });

const PASSWORD = 'five green doors stand open';
const README = [
  '# Reports',
  'Draws *quarterly* figures of a project, with a [guide](https://example.org/guide).',
  '## Tables',
  '| Column | Meaning |\n|---|---|\n| Total | The sum of all |',
  '```\nresoftai report --of-a-very-long-name-that-does-not-fit-on-a-phone --as-it-has-no-blank-in-its-end-anywhere\n```',
  '* one\n* two `inline`',
  '<script>document.title = "taken over"</script>',
].join('\n\n');

async function asSite(page: Page, site: Site, username: string): Promise<void> {
  createUser(site, username, PASSWORD, ['--role', 'super_admin']);
  await signIn(page, username, PASSWORD);
}

test('what addresses, versions, pictures and texts mean', () => {
  const nowhere = { page: 'not-found' };
  expect(match('/marketplace')).toEqual({ page: 'marketplace' });
  const page = 'market-plugin';
  expect(match('/marketplace/charts')).toEqual({ page, slug: 'charts', tab: 'overview' });
  expect(match('/marketplace/charts/versions')).toEqual({ page, slug: 'charts', tab: 'versions' });
  expect(match('/marketplace/charts/trust')).toEqual({ page, slug: 'charts', tab: 'trust' });
  for (const wrong of ['charts/overview', 'charts/trust/more', 'Charts', 'charts/nothing'])
    expect(match(`/marketplace/${wrong}`), wrong).toEqual(nowhere);

  for (const [version, installed, change] of [
    ['1.0.0', null, 'install'],
    ['1.0.0', '1.0.0', null],
    ['1.10.0', '1.9.0', 'update'],
    ['2.0.0', '2.0.0-rc.1', 'update'],
    ['2.0.0-rc.1', '2.0.0', 'back'],
    ['1.0.0+second', '1.0.0+first', 'update'],
  ] as const)
    expect(changeTo(version, installed), `${version} on ${installed}`).toBe(change);

  expect(pictureName('shots/all-my_findings.v2.png')).toBe('all my findings.v2');
  expect(pictureAddress('charts', '1.0.0+a', 'a b/c#.png')).toBe(
    '/api/marketplace/plugins/charts/1.0.0%2Ba/pictures/a%20b/c%23.png',
  );
  expect(lowered('<h1>A</h1><h2 title="x">B</h2><h5>C</h5><hr><header>', 2)).toBe(
    '<h3>A</h3><h4 title="x">B</h4><h6>C</h6><hr><header>',
  );
});

test('a plugin is found, understood and installed with what it needs', async ({ page, site }) => {
  test.setTimeout(240_000);
  await asSite(page, site, 'shopkeeper');
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Marketplace' }).click();
  await expect(page.getByRole('heading', { name: 'No plugins here yet' })).toBeVisible();
  await readable(page);
  const picture = await page.screenshot({ clip: { x: 0, y: 0, width: 640, height: 400 } });
  const icon = await page.screenshot({ clip: { x: 0, y: 0, width: 64, height: 64 } });
  const report = {
    slug: 'report',
    name: 'Reports',
    description: 'Writes reports about code.',
    author: 'Ada',
    category: 'generator',
    tags: ['documentation'],
    license: 'Apache-2.0',
    homepage: 'https://example.org/report',
    documentation: 'javascript:alert(1)',
    dependencies: ['charts>=1, <3'],
    capabilities: { llm: { models: ['*'], tokens_per_day: 1000 } },
    icon: 'icon.png',
    screenshots: ['shots/all-figures.png', 'shots/settings.png'],
  };
  const charts = { slug: 'charts', name: 'Charts', category: 'ui', author: 'Bell & Sons' };
  const described = { ...charts, description: 'Charts, drawn.' };
  const pictures = { 'icon.png': icon, 'shots/all-figures.png': picture, 'shots/settings.png': picture };
  await stock(page, [
    { ...report, version: '1.0.0', files: { ...pictures, 'README.md': README } },
    { ...charts, version: '1.0.0', files: { 'CHANGELOG.md': '# 1.0.0\n\nThe first one.' } },
    { ...described, version: '2.0.0', files: { 'CHANGELOG.md': '# 2.0.0\n\nNow with *pies*.' } },
    { slug: 'lonely', version: '1.0.0', name: 'Lonely', dependencies: ['nobody-has-this'] },
  ]);

  // Browse, narrow, order, search.
  await page.reload();
  const cards = page.getByRole('main').getByRole('article');
  await expect(cards).toHaveCount(3);
  await expect(cards.filter({ hasText: 'Reports' }).locator('img')).toHaveJSProperty('complete', true);
  await expect(cards.filter({ hasText: 'Reports' }).locator('img')).toHaveJSProperty('naturalWidth', 64);
  await readable(page);
  await page.getByLabel('Order').selectOption('By name');
  await expect(page).toHaveURL(/sort=name/);
  await expect(cards.getByRole('link')).toHaveText(['Charts', 'Lonely', 'Reports']);
  await page.getByLabel('Kind').selectOption('Ui (1)');
  await expect(cards.getByRole('link')).toHaveText(['Charts']);
  await page.getByLabel('Kind').selectOption('All kinds');
  await page.getByRole('searchbox', { name: 'Search the marketplace' }).fill('quarter');
  await expect(cards.getByRole('link')).toHaveText(['Reports']);
  await expect(page.getByLabel('Order')).toHaveCount(0);
  await page.getByRole('searchbox').fill('nobody wrote this');
  await expect(page.getByRole('heading', { name: 'No such plugin' })).toBeVisible();
  await readable(page);
  await page.getByRole('link', { name: 'Show all' }).click();
  await expect(page.getByRole('searchbox')).toHaveValue('');

  // Understand.
  await cards.getByRole('link', { name: 'Reports' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Reports' })).toBeFocused();
  await expect(page.getByRole('heading', { level: 3, name: 'Reports' })).toBeVisible();
  await expect(page.getByRole('heading', { level: 4, name: 'Tables' })).toBeVisible();
  await expect(page.getByRole('heading', { level: 1 })).toHaveCount(1);
  await expect(page).toHaveTitle(/^Reports · Marketplace/);
  const facts = page.getByRole('complementary', { name: 'Facts' });
  await expect(facts).toContainText('charts');
  await expect(facts).toContainText('Models');
  await expect(facts.getByRole('link')).toHaveText(['Homepage']);
  const shot = page.getByRole('img', { name: 'Screenshot 1 of 2: all figures' });
  await expect(shot).toHaveJSProperty('naturalWidth', 640);
  await readable(page);
  await page.getByRole('button', { name: 'Screenshot 1 of 2: all figures' }).click();
  await expect(page.getByRole('dialog').getByRole('img')).toBeVisible();
  await readable(page);
  await page.keyboard.press('Escape');
  await page.getByRole('link', { name: 'Trust' }).click();
  await expect(page.getByRole('heading', { level: 2, name: 'Trust' })).toBeFocused();
  await expect(page.getByText(/^Somebody pinned the root/)).toBeVisible();
  await expect(page.getByText('Nobody signed its files by themselves.')).toBeVisible();
  await expect(page.getByText(/^Ask any model, up to 1000 tokens a day/)).toBeVisible();
  await readable(page);

  // What cannot be had is told before anything is touched.
  await page.goto('/marketplace/lonely');
  await page.getByRole('button', { name: 'Install 1.0.0' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByRole('alert')).toContainText('nobody-has-this');
  await expect(dialog.getByRole('button', { name: 'Install', exact: true })).toBeDisabled();
  await readable(page);
  await dialog.getByRole('button', { name: 'Cancel' }).click();

  // An older version of what another needs; then the other, which goes on with it.
  await page.goto('/marketplace/charts');
  await page.getByRole('navigation', { name: 'Plugin' }).getByRole('link', { name: 'Versions' }).click();
  await expect(page.getByText('Now with pies.')).toBeVisible();
  await page.getByRole('link', { name: '1.0.0', exact: true }).click();
  await expect(page.getByText('The first one.')).toBeVisible();
  await expect(page.getByRole('note')).toContainText('This is 1.0.0.');
  await expect(page.getByRole('heading', { level: 2, name: 'What changed, up to 1.0.0' })).toBeVisible();
  await readable(page);
  await page.getByRole('button', { name: 'Install 1.0.0' }).click();
  await dialog.getByRole('button', { name: 'Install', exact: true }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Charts' })).toBeVisible();
  await expect(page).toHaveURL(/\/plugins\/charts$/);

  await page.goto('/marketplace/report');
  await page.getByRole('button', { name: 'Install 1.0.0' }).click();
  const steps = dialog.getByRole('list', { name: 'What it comes to' }).locator('> li');
  await expect(steps.filter({ hasText: 'charts' })).toContainText('Stays as it is');
  await expect(steps.filter({ hasText: 'report' })).toContainText('New');
  await expect(steps.filter({ hasText: 'report' })).toContainText('Ask any model');
  await expect(dialog).toContainText(/1 package, [\d.]+ KiB/);
  await readable(page);
  await dialog.getByRole('button', { name: 'Install', exact: true }).click();
  await expect(page).toHaveURL(/\/plugins\/report\/capabilities$/);
  await expect(page.getByText('Reports 1.0.0 is installed.')).toBeVisible();

  // The update that is there, and both in the list.
  await page.goto('/marketplace');
  await expect(cards.filter({ hasText: 'Reports' })).toContainText('Installed 1.0.0');
  await expect(cards.filter({ hasText: 'Reports' })).toContainText('1 installation');
  await expect(cards.filter({ hasText: 'Charts' })).toContainText('Update to 2.0.0');
  await readable(page);
  await page.goto('/marketplace/charts');
  await page.getByRole('button', { name: 'Update to 2.0.0' }).click();
  await expect(steps).toContainText(['charts 2.0.0, in the place of 1.0.0']);
  await readable(page);
  await dialog.getByRole('button', { name: 'Install', exact: true }).click();
  await expect(page).toHaveURL(/\/plugins\/charts$/);
  await page.goto('/marketplace/charts');
  await expect(page.getByRole('link', { name: 'Open the installed plugin' })).toBeVisible();
  await expect(page.getByRole('button', { name: /2\.0\.0/ })).toHaveCount(0);
  await page.goto('/marketplace/charts?version=1.0.0');
  await expect(page.getByRole('button', { name: 'Go back to 1.0.0' })).toBeVisible();
  await page.goto('/marketplace/nowhere');
  await expect(page.getByRole('alert')).toContainText('no plugin nowhere');

  // Say what one thinks of it.
  await page.goto('/marketplace/charts/reviews');
  await expect(page.getByText('Nobody reviewed it yet')).toBeVisible();
  await page.getByLabel('Rating').selectOption('4 of 5: Good');
  await page.getByLabel('What you say of it').fill('Draws <b>well</b>.');
  await readable(page);
  await page.getByRole('button', { name: 'Say it' }).click();
  const review = page.getByRole('listitem').filter({ hasText: 'Draws <b>well</b>.' });
  await expect(review).toContainText('4 of 5');
  await expect(page.getByRole('button', { name: 'Take it back' })).toBeVisible();
  await readable(page);
  await page.goto('/marketplace/charts');
  await expect(facts).toContainText('4.0 of 5 (1 rating)');

  // Taken out, it comes in with all it needs.
  for (const slug of ['report', 'charts']) await ask(page, 'DELETE', `/api/plugins/${slug}`);
  await page.goto('/marketplace/report');
  await page.getByRole('button', { name: 'Install 1.0.0' }).click();
  await expect(steps).toContainText(['charts 2.0.0', 'report 1.0.0']);
  await dialog.getByRole('button', { name: 'Install', exact: true }).click();
  await expect(page.getByText('Reports 1.0.0 is installed, with 1 it needs.')).toBeVisible();
  await page.goto('/plugins');
  await expect(page.getByRole('row').filter({ hasText: 'Charts' })).toContainText('Active');

  // Who only looks sees no way to install.
  await page.context().clearCookies();
  createUser(site, 'windowshopper', PASSWORD, ['--role', 'viewer', '--org', 'demo']);
  await signIn(page, 'windowshopper', PASSWORD);
  await page.goto('/marketplace/lonely');
  await expect(page.getByRole('heading', { level: 1, name: 'Lonely' })).toBeVisible();
  await expect(page.getByRole('main').getByRole('button')).toHaveCount(0);
  await readable(page);
  await page.getByRole('link', { name: 'Marketplace' }).first().click();
  await expect(cards).toHaveCount(3);
});
