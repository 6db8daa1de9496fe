// The audit log: found again by its address, one entry in full, and its proof checked by the browser itself.
import { type Page } from '@playwright/test';
import { accessible, ask, expect, readable, test } from './site';

test.use({ model: false });

async function openEntry(page: Page): Promise<void> {
  const id = (await ask(page, 'GET', '/api/organizations')).items[0].id;
  await page.goto(`/organizations/${id}/audit?resource_type=project`);
  await page
    .getByRole('button', { name: /Created project/ })
    .first()
    .click();
}

const verify = (page: Page) => page.getByRole('button', { name: 'Verify in this browser' });

test('an entry is verified in the browser, and again against what it saw before', async ({
  signedIn: page,
}) => {
  await openEntry(page);
  await verify(page).click();
  const verdict = page.getByRole('status').filter({ hasText: 'Verified' });
  await expect(verdict).toBeVisible();
  for (const claim of [
    'The entry’s text has the hash that the log holds.',
    'What the page shows is what was logged.',
    'The entry is in the log.',
    'The log’s state is signed.',
    'This browser sees the log’s key for the first time.',
  ]) {
    await expect(verdict).toContainText(claim);
  }
  await expect(verdict).toContainText(/Fingerprint of the key: ([0-9a-f]{4} ){7}[0-9a-f]{4}/);
  await readable(page);
  // The log grows meanwhile; it is still the one of before.
  const organization_id = (await ask(page, 'GET', '/api/organizations')).items[0].id;
  const made = await ask(page, 'POST', '/api/projects', {
    name: 'Later',
    requirements: 'More.',
    organization_id,
  });
  expect(made.id).toBeGreaterThan(0);
  await expect(async () => {
    await verify(page).click();
    await expect(verdict).toContainText('The log has only grown since this browser last looked.');
    await expect(verdict).toContainText(/The first (\d+) of its (?!\1 )\d+ entries/, { timeout: 2000 });
  }).toPass();
  await expect(verdict).toContainText('The key is the one this browser knows.');
});

for (const [what, tamper, claim] of [
  [
    'an entry',
    (proof: any) => ({ ...proof, leaf: proof.leaf.replace('"create"', '"delete"') }),
    'The entry’s text does not have the hash that the log holds.',
  ],
  ['a path', (proof: any) => ({ ...proof, position: proof.position + 1 }), 'The entry is not in the log.'],
  [
    'a checkpoint',
    (proof: any) => ({ ...proof, checkpoint: proof.checkpoint.replace(/\n(\d+)\n/, '\n9$1\n') }),
    'The log’s state is not signed with this key.',
  ],
] as const) {
  test(`a tampered answer shows: ${what}`, async ({ signedIn: page }) => {
    await page.route('**/api/audit/*/proof', async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: tamper(await response.json()) });
    });
    await openEntry(page);
    await verify(page).click();
    const verdict = page.getByRole('alert');
    await expect(verdict).toContainText('Not verified');
    await expect(verdict).toContainText(claim);
    await accessible(page);
    await page.unroute('**/api/audit/*/proof');
    await verify(page).click();
    await expect(page.getByRole('status').filter({ hasText: 'Verified' })).toBeVisible();
  });
}

test('an entry that the page does not show as it was logged is found out', async ({ signedIn: page }) => {
  await page.route(/\/api\/audit\/\d+$/, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...(await response.json()), action: 'read' } });
  });
  await openEntry(page);
  await verify(page).click();
  await expect(page.getByRole('alert')).toContainText('Different: action.');
});

test('a proof that does not come can be asked for again', async ({ signedIn: page }) => {
  await page.route('**/api/audit/*/proof', (route) => route.abort());
  await openEntry(page);
  await verify(page).click();
  await expect(page.getByRole('alert')).toContainText('Could not be verified.');
  await page.unroute('**/api/audit/*/proof');
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(page.getByRole('status').filter({ hasText: 'Verified' })).toBeVisible();
});

test('the log is searched, the search is an address, and an entry has one of its own', async ({
  signedIn: page,
}) => {
  const id = (await ask(page, 'GET', '/api/organizations')).items[0].id;
  const log = `/organizations/${id}/audit`;
  await page.goto(log);
  await page.getByLabel('Text').fill('URL shortener');
  await page.getByLabel('Action').selectOption('Create');
  await expect(page).toHaveURL(/q=URL\+shortener&action=create/);
  const found = page.getByRole('row').filter({ hasText: 'Created project URL shortener' });
  await expect(found).toHaveCount(1);
  await page.getByRole('button', { name: 'More filters' }).click();
  await page.getByLabel('To', { exact: true }).fill('2001-01-01');
  await expect(page.getByRole('heading', { name: 'No entry fits the filter' })).toBeVisible();
  await page.getByLabel('To', { exact: true }).fill('');
  await expect(found).toHaveCount(1);
  await readable(page);
  await page.getByRole('button', { name: /Created project URL shortener/ }).click();
  await expect(page).toHaveURL(/entry=\d+/);
  const entry = page.getByRole('dialog', { name: /Created project URL shortener/ });
  await expect(entry.getByRole('row').filter({ hasText: 'requirements' })).toBeVisible();
  await page.reload();
  await expect(entry).toBeVisible();
  await page.goBack();
  await expect(entry).toHaveCount(0);
  await expect(page).toHaveURL(/q=URL\+shortener/);
  const saved = page.waitForEvent('download');
  await page.getByRole('link', { name: 'CSV' }).click();
  expect((await saved).suggestedFilename()).toBe('audit.csv');
});

test('auditors take the evidence of an organisation', async ({ signedIn: page }) => {
  const id = (await ask(page, 'GET', '/api/organizations')).items[0].id;
  await page.goto(`/organizations/${id}/audit`);
  const download = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Evidence' }).click();
  expect((await download).suggestedFilename()).toMatch(/^evidence-.*\.zip$/);
});
