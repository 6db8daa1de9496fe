// The main job in the browser: the run is watched live, its files are read, its traces are there.
import { accessible, ask, expect, test } from './site';

test('a run is watched to its end', async ({ signedIn: page, site }) => {
  test.setTimeout(900_000);
  await page.getByRole('link', { name: 'URL shortener' }).first().click();
  await page.goto(`/projects/${site.project}/runs/${site.run}`);
  await expect(page.getByRole('button', { name: /Requirement analysis/ })).toBeVisible();
  // Files appear while the agents work, without the page being loaded again.
  await page.evaluate(() => Object.assign(window, { untouched: true }));
  await expect(page.getByRole('link', { name: 'requirements/SRS.md' })).toBeVisible({ timeout: 600_000 });
  await expect(page.getByRole('button', { name: 'Run again' })).toBeVisible({ timeout: 800_000 });
  expect(await page.evaluate(() => 'untouched' in window)).toBe(true);
  await expect(page.getByText(/of 6,000/)).toBeVisible();
  await page.getByRole('link', { name: 'requirements/SRS.md' }).first().click();
  await expect(
    page
      .getByRole('heading', { name: /SRS\.md/ })
      .or(page.getByText('requirements/SRS.md'))
      .first(),
  ).toBeVisible();
});

test('what was done is in the audit log', async ({ signedIn: page }) => {
  await page.goto('/audit');
  await expect(page.getByText(/quality_expert finished a turn/).first()).toBeVisible();
});

test('a file shows every mistake beside its line, and every version it has', async ({
  signedIn: page,
  site,
}) => {
  test.setTimeout(180_000);
  const lines = 30;
  const content = Array.from({ length: lines }, (_, at) => `print(eval("${at}"))\n`).join('');
  const files = `/api/projects/${site.project}/files`;
  const { id } = await ask(page, 'POST', files, { path: 'app/run.py', content: 'print("the first")\n' });
  const versions = 105;
  for (let version = 2; version < versions; version++) {
    await ask(page, 'PUT', `/api/files/${id}`, { content: `print(${version})\n` });
  }
  await ask(page, 'PUT', `/api/files/${id}`, { content });
  await expect(async () => {
    const { findings } = await ask(page, 'GET', `/api/files/${id}`);
    expect(findings.critical).toBe(lines);
  }).toPass({ timeout: 60_000 });
  await page.goto(`/projects/${site.project}/files/${id}`);
  await expect(page.locator('.hljs-keyword, .hljs-built_in').first()).toBeVisible();
  await expect(page.getByText('Text is run as code.')).toHaveCount(lines);
  await accessible(page);
  const picker = page.getByLabel('Version', { exact: true });
  await expect(picker.getByRole('option')).toHaveCount(100);
  await page.getByRole('button', { name: 'Older versions' }).click();
  await expect(picker.getByRole('option')).toHaveCount(versions);
  await expect(page.getByRole('button', { name: 'Older versions' })).toHaveCount(0);
  await expect(picker).toBeFocused();
  await picker.selectOption('1');
  await expect(page.getByText('"the first"')).toBeVisible();
  await expect(page.getByText('Text is run as code.')).toHaveCount(0);
});

test('a run is started from the page, watched as it works, paused, resumed and stopped', async ({
  signedIn: page,
}) => {
  test.setTimeout(480_000);
  await page.goto('/projects/new');
  await page.getByLabel('Name').fill('A clock');
  await page.getByLabel('Requirement').fill('A page that shows the time.');
  await page.getByText('Options').click();
  await page.getByLabel('Token budget').fill('6000');
  await page.getByRole('button', { name: 'Create and start' }).click();
  await expect(page.getByRole('heading', { name: 'A clock' })).toBeVisible();
  await page.evaluate(() => Object.assign(window, { untouched: true }));

  // The words of the agent come while it writes, not when it is done.
  const words = page.getByRole('log', { name: 'Text of the agent' });
  const length = async () => ((await words.textContent()) ?? '').length;
  await expect(words).toBeVisible({ timeout: 120_000 });
  const first = await length();
  await expect.poll(length, { timeout: 60_000 }).toBeGreaterThan(first);

  // Each turn adds a file, and its tokens to the run's and to the organisation's.
  const used = async (meter: string) =>
    Number(await page.getByRole('meter', { name: meter }).getAttribute('aria-valuenow'));
  const files = page.getByRole('link', { name: /planning\/development-plan\.md|requirements\/SRS\.md/ });
  await expect(files).toHaveCount(1, { timeout: 120_000 });
  await expect.poll(() => used('This run')).toBeGreaterThan(0);
  const [run, quota] = [await used('This run'), await used('Organisation quota')];
  await expect(files).toHaveCount(2, { timeout: 120_000 });
  await expect.poll(() => used('This run')).toBeGreaterThan(run);
  await expect.poll(() => used('Organisation quota')).toBeGreaterThan(quota);
  expect(await page.evaluate(() => 'untouched' in window)).toBe(true);

  await page.getByRole('button', { name: 'Pause' }).click();
  await expect(page.getByRole('button', { name: 'Resume' })).toBeVisible();
  await expect(page.getByRole('button', { name: 'Pause' })).toHaveCount(0);
  // A stage is done again when the run has ended, not while it rests.
  await page.getByRole('button', { name: /Requirement analysis/ }).click();
  await expect(page.getByRole('button', { name: /Retry/ })).toHaveCount(0);
  await page.getByRole('button', { name: 'Resume' }).click();
  await expect(page.getByRole('button', { name: 'Pause' })).toBeVisible();
  await expect(page.getByRole('alert')).toHaveCount(0);

  await page.getByRole('button', { name: 'Cancel', exact: true }).click();
  await page.getByRole('button', { name: 'Cancel the run' }).click();
  await expect(page.getByRole('button', { name: 'Run again' })).toBeVisible();
  await expect(page.getByRole('button', { name: 'Retry from here' })).toBeVisible();
});
