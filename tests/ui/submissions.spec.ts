// Submissions: a plugin is handed in, looked at by machine and by somebody else, and published.
import { type Browser, type Page } from '@playwright/test';
import { decisions, moments } from '../../embedded-ui/src/pages/market/submissions';
import { packageOf } from './bundle';
import { createUser, expect, readable, signIn, type Site, test } from './site';

// A site of its own: what is published here is no business of other specs.
test.use({ model: false, settings: { RESOFTAI_PLUGINS_SCAN_BLOCK: 'high' } });

const PASSWORD = 'nine geese cross the road';
const README =
  '# Word counter\n\nCounts the words of every file that is written, and says how many there are.';
const COUNTER = {
  slug: 'word-counter',
  name: 'Word counter',
  description: 'Counts words.',
  license: 'Apache-2.0',
  capabilities: { http: ['hooks.example.org'] },
};

async function as(browser: Browser, site: Site, username: string, role: string[]): Promise<Page> {
  createUser(site, username, PASSWORD, role);
  const page = await (await browser.newContext({ baseURL: site.url, reducedMotion: 'reduce' })).newPage();
  await signIn(page, username, PASSWORD);
  return page;
}

/** Hands a package in by the page. */
async function submit(page: Page, made: Parameters<typeof packageOf>[0]): Promise<void> {
  await page.goto('/marketplace/submissions');
  await page.getByRole('button', { name: 'Submit a plugin' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('File').setInputFiles(packageOf(made));
  await dialog.getByLabel('Kind').selectOption('Code quality');
  await dialog.getByLabel('Tags').fill('counting, words');
  await dialog.getByRole('button', { name: 'Submit' }).click();
}

test('what a submission went through, and who may decide', () => {
  const told = {
    checks: [
      { code: 'readme', ok: true, text: '' },
      { code: 'loads', ok: true, text: '' },
    ],
    submitted_at: '2026-01-01T00:00:00Z',
    submitted_by: 'ada',
    decided_at: '2026-01-02T00:00:00Z',
    decided_by: 'bob',
    mine: false,
  };
  const labels = (status: Parameters<typeof moments>[0]['status'], more = {}) =>
    moments({ ...told, status, ...more }).map(({ label }) => label);
  const begun = ['Submitted', '2 checks passed', 'In review'];
  expect(labels('in_review')).toEqual(begun);
  expect(labels('rejected')).toEqual([...begun, 'Rejected']);
  expect(labels('yanked')).toEqual([...begun, 'Published', 'Yanked']);
  const checks = [{ code: 'readme', ok: false, text: '' }];
  expect(labels('failed', { checks })).toEqual(['Submitted', '1 of 1 checks failed']);
  expect(moments({ ...told, status: 'rejected' }).at(-1)).toMatchObject({ by: 'bob', at: told.decided_at });
  expect(moments({ ...told, status: 'rejected', mine: true })[0]).toMatchObject({ by: 'You' });

  for (const [status, mine, manages, may] of [
    ['in_review', true, true, ['withdrawn']],
    ['in_review', false, true, ['published', 'rejected']],
    ['in_review', false, false, []],
    ['published', true, false, ['deprecated', 'yanked']],
    ['deprecated', false, true, ['published', 'yanked']],
    ['yanked', false, true, ['published']],
    ['yanked', false, false, []],
    ['rejected', true, true, []],
    ['failed', true, true, []],
  ] as const)
    expect(decisions({ status, mine }, manages), `${status}, ${mine}, ${manages}`).toEqual(may);
});

test('a plugin is handed in, rejected with a reason, handed in again and published', async ({
  page,
  site,
  browser,
}) => {
  test.setTimeout(240_000);
  createUser(site, 'author', PASSWORD, ['--role', 'developer', '--org', 'demo']);
  await signIn(page, 'author', PASSWORD);
  await page.goto('/marketplace');
  const parts = page.getByRole('navigation', { name: 'Marketplace' });
  await parts.getByRole('link', { name: 'Submissions' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Submissions' })).toBeFocused();
  await expect(page.getByRole('heading', { name: 'Nothing handed in yet' })).toBeVisible();
  await readable(page);

  // What fails a check is told what to mend, and waits for nobody.
  await submit(page, { slug: 'bare', name: 'Bare', version: '1.0.0' });
  await expect(page.getByRole('heading', { level: 1, name: 'Bare 1.0.0' })).toBeFocused();
  await expect(page.getByRole('note')).toContainText('It waits for nobody.');
  const check = (name: string) =>
    page.getByRole('row').filter({ has: page.getByText(name, { exact: true }) });
  await expect(check('README')).toContainText('Failed');
  await expect(check('Loading')).toContainText('Passed');
  await readable(page);
  await page.goto('/marketplace/submissions');
  await page.getByRole('button', { name: 'Submit a plugin' }).click();
  const dialog = page.getByRole('dialog');
  const broken = {
    name: 'broken.rplugin',
    mimeType: 'application/octet-stream',
    buffer: Buffer.from('nothing'),
  };
  await dialog.getByLabel('File').setInputFiles(broken);
  await readable(page);
  await dialog.getByRole('button', { name: 'Submit' }).click();
  await expect(dialog.getByRole('alert')).toContainText('Not handed in.');
  await readable(page);

  const theirs = await as(browser, site, 'second', ['--role', 'super_admin']);
  await submit(page, { ...COUNTER, version: '1.0.0', files: { 'README.md': README } });
  await expect(page.getByRole('heading', { level: 1, name: 'Word counter 1.0.0' })).toBeFocused();
  await expect(page.getByRole('note')).toContainText('somebody else who manages the site’s plugins has to');
  await expect(page.getByText('Send requests to hooks.example.org')).toBeVisible();
  await expect(page.getByRole('button', { name: /Approve|Reject/ })).toHaveCount(0);
  await readable(page);

  // Somebody else is told, looks at it and rejects it.
  await theirs.goto('/notices');
  await theirs.getByRole('link', { name: /word-counter 1\.0\.0/ }).click();
  await expect(theirs.getByRole('heading', { level: 1, name: 'Word counter 1.0.0' })).toBeFocused();
  const address = theirs.url();
  const download = theirs.waitForEvent('download');
  await theirs.getByRole('link', { name: 'Package' }).click();
  expect((await download).suggestedFilename()).toBe('word-counter-1.0.0.rplugin');
  await theirs.getByRole('button', { name: 'Reject' }).click();
  const decision = theirs.getByRole('dialog');
  await decision.getByLabel('Reason').fill('It sends file names to another host.');
  await readable(theirs);
  await decision.getByRole('button', { name: 'Reject' }).click();
  const story = (page: Page) => page.getByRole('list', { name: 'What it went through' });
  await expect(story(theirs)).toContainText('It sends file names to another host.');
  await expect(theirs.getByRole('button', { name: /Approve|Reject/ })).toHaveCount(0);
  await expect(theirs.getByRole('heading', { level: 1 })).toBeFocused();

  // Its author is told why, and hands a mended one in, takes that back, and hands it in once more.
  await page.goto('/notices');
  await page.getByRole('link', { name: /word-counter 1\.0\.0 is rejected/ }).click();
  await expect(page).toHaveURL(address);
  await expect(story(page).getByRole('listitem').last()).toContainText(
    'It sends file names to another host.',
  );
  await expect(story(page).getByRole('listitem').last()).toContainText('second');
  await readable(page);
  const mended = { ...COUNTER, version: '1.1.0', capabilities: {}, files: { 'README.md': README } };
  await submit(page, mended);
  await page.getByRole('button', { name: 'Withdraw' }).click();
  await dialog.getByRole('button', { name: 'Withdraw' }).click();
  await expect(story(page).getByRole('listitem').last()).toContainText('Withdrawn');
  await submit(page, mended);
  await expect(page.getByRole('heading', { level: 1, name: 'Word counter 1.1.0' })).toBeFocused();
  await page.goto('/marketplace/submissions');
  await expect(page.getByRole('row')).toHaveCount(5);
  await expect(
    page.getByRole('row').filter({ hasText: '1.0.0' }).filter({ hasText: 'Rejected' }),
  ).toContainText('It sends file names to another host.');
  await readable(page);

  // From the queue it is approved, and found by everybody.
  await theirs.goto('/marketplace/submissions');
  await theirs.getByLabel('State').selectOption('In review');
  await expect(theirs).toHaveURL(/status=in_review/);
  await expect(theirs.getByRole('row')).toHaveCount(2);
  await expect(theirs.getByRole('row').last()).toContainText('author');
  await readable(theirs);
  await theirs.getByRole('link', { name: 'Word counter 1.1.0' }).click();
  await theirs.getByRole('button', { name: 'Approve' }).click();
  await readable(theirs);
  await decision.getByRole('button', { name: 'Approve' }).click();
  await expect(story(theirs).getByRole('listitem').last()).toContainText('Published');
  await readable(theirs);
  await expect(async () => {
    await page.goto('/marketplace');
    await expect(page.getByRole('article').getByRole('link')).toHaveText(['Word counter'], { timeout: 2000 });
  }).toPass();
  await page.getByRole('article').getByRole('link').click();
  await expect(page.getByRole('complementary', { name: 'Facts' })).toContainText('Code quality');
  await expect(page.getByRole('complementary', { name: 'Facts' })).toContainText('counting, words');

  // It is advised against, then taken out of reach, then back; the plugin's page leads to it.
  await theirs.getByRole('link', { name: 'See it in the marketplace' }).click();
  await expect(theirs.getByRole('heading', { level: 1, name: 'Word counter' })).toBeFocused();
  await theirs.getByRole('navigation', { name: 'Plugin' }).getByRole('link', { name: 'Versions' }).click();
  await readable(theirs);
  await theirs.getByRole('link', { name: 'Its submissions' }).click();
  await expect(theirs.getByText('Only those of')).toContainText('word-counter');
  await expect(theirs.getByRole('row')).toHaveCount(4);
  await theirs.getByRole('link', { name: 'Word counter 1.1.0' }).first().click();
  await theirs.getByRole('button', { name: 'Deprecate' }).click();
  await decision.getByLabel('Reason').fill('Use the line counter.');
  await decision.getByRole('button', { name: 'Deprecate' }).click();
  await expect(story(theirs)).toContainText('Use the line counter.');
  await page.reload();
  await expect(page.getByRole('note')).toContainText('Use the line counter.');
  await readable(page);
  await theirs.getByRole('button', { name: 'Yank' }).click();
  await decision.getByLabel('Reason').fill('It counts wrongly.');
  await decision.getByRole('button', { name: 'Yank' }).click();
  await expect(story(theirs).getByRole('listitem').last()).toContainText('It counts wrongly.');
  await theirs.getByRole('button', { name: 'Publish again' }).click();
  await decision.getByRole('button', { name: 'Publish again' }).click();
  await expect(story(theirs).getByRole('listitem').last()).toContainText('Published');
  await theirs.context().close();
});

test('nobody decides about their own, whoever they are', async ({ page, site }) => {
  createUser(site, 'proud', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'proud', PASSWORD);
  await submit(page, {
    ...COUNTER,
    slug: 'own-tool',
    name: 'Own tool',
    version: '1.0.0',
    files: { 'README.md': README },
  });
  await expect(page.getByRole('heading', { level: 1, name: 'Own tool 1.0.0' })).toBeFocused();
  await expect(page.getByRole('note')).toContainText('nobody decides about their own');
  await expect(page.getByRole('button', { name: /Approve|Reject/ })).toHaveCount(0);
  await expect(page.getByRole('button', { name: 'Withdraw' })).toBeVisible();

  // Those of others are no business of somebody who does not manage plugins.
  const address = page.url();
  await page.context().clearCookies();
  createUser(site, 'stranger', PASSWORD, ['--role', 'viewer', '--org', 'demo']);
  await signIn(page, 'stranger', PASSWORD);
  await page.goto(address);
  await expect(page.getByRole('alert')).toContainText('Could not read the submission.');
  await page.goto('/marketplace/submissions?status=rejected');
  await expect(page.getByRole('heading', { name: 'No such submission' })).toBeVisible();
  await readable(page);
  await page.getByRole('link', { name: 'Show all' }).click();
  await expect(page.getByRole('heading', { name: 'Nothing handed in yet' })).toBeVisible();
});
