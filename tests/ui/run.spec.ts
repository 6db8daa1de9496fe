// The main job in the browser: the run is watched live, its files are read, its traces are there.
import { accessible, expect, test } from './site';

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

test('a file with a mistake shows it beside the line', async ({ signedIn: page, site }) => {
  const content = 'def run(text):\n    return eval(text)\n';
  const path = `/api/projects/${site.project}/files`;
  const made = await page.evaluate(
    async ([path, content]) => {
      const body = JSON.stringify({ path: 'app/run.py', content });
      const headers = { 'content-type': 'application/json' };
      return (await fetch(path!, { method: 'POST', headers, body })).json();
    },
    [path, content],
  );
  await expect(async () => {
    const counts = await page.evaluate(async (id) => (await fetch(`/api/files/${id}`)).json(), made.id);
    expect(counts.findings.critical + counts.findings.high).toBeGreaterThan(0);
  }).toPass({ timeout: 60_000 });
  await page.goto(`/projects/${site.project}/files/${made.id}`);
  await expect(page.getByText('return')).toBeVisible();
  await expect(page.locator('.hljs-keyword').first()).toBeVisible();
  await expect(page.getByText(/eval/i).nth(1)).toBeVisible();
  await accessible(page);
});

test('a run is started from the page, and stopped', async ({ signedIn: page }) => {
  test.setTimeout(180_000);
  await page.goto('/projects/new');
  await page.getByLabel('Name').fill('A clock');
  await page.getByLabel('Requirement').fill('A page that shows the time.');
  await page.getByRole('button', { name: 'Create and start' }).click();
  await expect(page.getByRole('heading', { name: 'A clock' })).toBeVisible();
  await expect(page.getByRole('button', { name: /Requirement analysis/ })).toBeVisible();
  // The first file of the run: an answer of the model came, and was shown as it came.
  await expect(page.getByRole('link', { name: 'planning/development-plan.md' })).toBeVisible({
    timeout: 150_000,
  });
  await page.getByRole('button', { name: 'Cancel', exact: true }).click();
  await page.getByRole('button', { name: 'Cancel the run' }).click();
  await expect(page.getByRole('button', { name: 'Run again' })).toBeVisible();
});
