// Backups as administrators see them: a place is chosen, one is taken, and what its trial restore found is told.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createUser, expect, readable, signIn, test } from './site';

test.use({ model: false });

const PASSWORD = 'nine quiet ships leave port';

test('a backup is taken, proven, and pruned by the rule', async ({ page, site }) => {
  const disk = mkdtempSync(join(tmpdir(), 'resoftai-backups-'));
  const folder = join(disk, 'backups');
  createUser(site, 'archivist', PASSWORD, ['--role', 'super_admin']);
  await signIn(page, 'archivist', PASSWORD);
  await page.goto('/site/backups');
  await expect(page.getByRole('heading', { name: 'No backups are taken' })).toBeVisible();
  await readable(page);

  await page.getByRole('button', { name: 'Choose a place' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Folder on the server').fill('backups');
  await dialog.getByLabel('Passphrase', { exact: true }).fill(PASSWORD);
  await dialog.getByLabel('Passphrase again').fill('something else');
  await expect(dialog.getByText('The two differ.')).toBeVisible();
  await dialog.getByLabel('Passphrase again').fill(PASSWORD);
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog.getByText('is no absolute path').first()).toBeVisible();
  await dialog.getByLabel('Folder on the server').fill(folder);
  await dialog.getByLabel('Taken').selectOption('Only when somebody asks');
  await dialog.getByLabel('Newest').fill('1');
  for (const kind of ['Days', 'Weeks', 'Months']) await dialog.getByLabel(kind, { exact: true }).fill('0');
  await readable(page);
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText('Only when somebody asks')).toBeVisible();
  expect(existsSync(join(folder, 'repository.json'))).toBe(true);

  const rows = page.getByRole('row');
  for (const count of [1, 2]) {
    await page.getByRole('button', { name: 'Take one now' }).click();
    await expect(rows.filter({ hasText: 'audit entries' })).toHaveCount(count, { timeout: 60_000 });
    await expect(page.getByRole('button', { name: 'Take one now' })).toBeEnabled();
  }
  await expect(rows.filter({ hasText: 'Complete' })).toHaveCount(1);
  await expect(rows.filter({ hasText: 'Let go' })).toHaveCount(1);
  await readable(page);
  await page.getByRole('button', { name: /^Verify the backup of/ }).click();
  await expect(page.getByText('The backup is being restored in a trial.')).toBeVisible();
  await expect(page.getByRole('button', { name: /^Verify the backup of/ })).toBeEnabled({ timeout: 60_000 });
  await page.getByRole('button', { name: 'Prune' }).click();
  await expect(dialog.getByText('The rule keeps all backups')).toBeVisible();
  await readable(page);
  await dialog.getByRole('button', { name: 'Prune' }).click();
  await expect(page.getByText('Pruned.')).toBeVisible();
  rmSync(disk, { recursive: true });
});

test('backups are the business of who administers the site', async ({ signedIn: page }) => {
  await page.goto('/site/backups');
  await expect(page.getByRole('heading', { name: 'No such page' })).toBeVisible();
});
