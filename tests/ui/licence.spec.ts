// The licence as the site's administrators see it: none, installed by upload, refused, near its end, and seats.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BINARY, createUser, expect, readable, signIn, test, vendor } from './site';

const PASSWORD = 'four slow trains cross north';
const FOLDER = mkdtempSync(join(tmpdir(), 'resoftai-licences-'));
const VENDOR = vendor(FOLDER);

// A site that knows the vendor and has no licence of it.
test.use({ model: false, settings: { RESOFTAI_LICENCE_TRUSTED_KEYS: VENDOR.public_key, LICENSE_KEY: '' } });
test.afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

/** A licence's file that ends on `until`. */
function issue(name: string, until: string, seats: number): string {
  const file = join(FOLDER, name);
  const args = [
    'vendor',
    'licence',
    'issue',
    '--key',
    VENDOR.key,
    '--customer',
    'Acme Works',
    '--serial',
    name,
  ];
  const what = ['--tier', 'starter', '--seats', String(seats), '--until', until, '--output', file];
  execFileSync(BINARY, [...args, ...what], { env: {} });
  return file;
}

const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);

test('a licence is installed by upload and says what it opens and when it ends', async ({ page, site }) => {
  createUser(site, 'bursar', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'bursar', PASSWORD);
  await page.getByRole('link', { name: 'Site', exact: true }).click();
  await page.getByRole('navigation', { name: 'Site' }).getByRole('link', { name: 'Licence' }).click();
  await expect(page.getByRole('heading', { level: 2, name: 'Licence', exact: true })).toBeFocused();
  await expect(page.getByText('complete for one team')).toBeVisible();
  await expect(page.getByRole('meter', { name: /People/ })).toHaveAttribute('aria-valuemax', '10');
  await expect(page.getByLabel('Installation id')).toHaveValue(/^[0-9a-f]{8}-[0-9a-f]{4}-4/);
  await readable(page);

  const broken = join(FOLDER, 'broken');
  writeFileSync(broken, `${VENDOR.licence.slice(0, -8)}AAAAAAAA`);
  await page.getByLabel('Licence file').setInputFiles(broken);
  await expect(page.getByRole('alert')).toContainText('does not hold');

  await page.getByLabel('Licence file').setInputFiles(issue('L-1', inDays(300), 40));
  await expect(page.getByText('The licence is installed.')).toBeVisible();
  await expect(page.getByText('Acme Works', { exact: true })).toBeVisible();
  await expect(page.getByRole('meter', { name: /People/ })).toHaveAttribute('aria-valuemax', '40');
  const feature = (name: string) => page.getByRole('row').filter({ hasText: name });
  await expect(feature('More than one organisation')).toContainText('Open');
  await expect(feature('Single sign-on')).toContainText('Closed');
  await readable(page);
  const report = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Usage report' }).click();
  expect((await report).suggestedFilename()).toBe('resoftai-usage.txt');
});

test('administrators of the site are told above every page before a licence ends, others are not', async ({
  page,
  site,
}) => {
  createUser(site, 'steward', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'steward', PASSWORD);
  await page.goto('/site/licence');
  await page.getByLabel('Licence file').setInputFiles(issue('L-2', inDays(5), 40));
  await expect(page.getByText('The licence is installed.')).toBeVisible();
  await page.goto('/projects');
  const line = page.getByRole('status').filter({ hasText: 'The site’s licence: It ends on' });
  await expect(line).toBeVisible();
  await line.getByRole('link', { name: 'Licence' }).click();
  await expect(page.getByText('Ends soon').first()).toBeVisible();
  createUser(site, 'worker', PASSWORD, ['--role', 'developer', '--org', 'demo']);
  await page.context().clearCookies();
  await signIn(page, 'worker', PASSWORD);
  await expect(page.getByText('The site’s licence')).toHaveCount(0);
  await page.goto('/site/licence');
  await expect(page.getByRole('heading', { name: 'No such page' })).toBeVisible();
});
