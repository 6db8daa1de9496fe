// Tokens held to what they are for, and accounts of programs.
import { ask, expect, readable, test } from './site';

test.use({ model: false });

test('a token is held to what is picked, and says so', async ({ signedIn: page }) => {
  await page.goto('/account/tokens');
  await page.getByRole('button', { name: 'New token' }).click();
  await page.getByLabel('Name').fill('dashboard');
  await page.getByLabel('Counts in').selectOption({ label: 'Demo only' });
  await page.getByRole('radio', { name: /^Choose/ }).check();
  await page.getByRole('checkbox', { name: /^project\.read/ }).check();
  await page.getByRole('checkbox', { name: /^quota\.view/ }).check();
  await page.getByLabel('Valid for').selectOption('30 days');
  await readable(page);
  await page.getByRole('button', { name: 'Create token' }).click();
  const secret = await page.getByLabel('Secret').inputValue();
  await page.getByRole('button', { name: 'Done' }).click();
  const row = page.getByRole('row', { name: /dashboard/ });
  await expect(row).toContainText('project.read, quota.view');
  await expect(row).toContainText('in Demo only');
  await readable(page);
  // It does what it says and nothing else.
  const status = (method: string, path: string) =>
    page.evaluate(
      async ([secret, method, path]) => {
        const headers = {
          authorization: `Bearer ${secret}`,
          'content-type': 'application/json',
        };
        const body = method === 'GET' ? null : '{"name":"x"}';
        return (
          await fetch(path!, {
            method: method!,
            headers,
            body,
            credentials: 'omit',
          })
        ).status;
      },
      [secret, method, path] as const,
    );
  expect(await status('GET', '/api/projects')).toBe(200);
  expect(await status('POST', '/api/projects')).toBe(403);
  await page.getByRole('button', { name: 'Delete dashboard' }).click();
  await page.getByRole('button', { name: 'Delete token' }).click();
  await expect(row).toHaveCount(0);
  expect(await status('GET', '/api/projects')).toBe(401);
});

test('an editor gets a token for models only', async ({ signedIn: page }) => {
  await page.goto('/account/tokens');
  await page.getByRole('button', { name: 'New token' }).click();
  await page.getByLabel('Name').fill('editor');
  await page.getByRole('radio', { name: /^Only models/ }).check();
  await page.getByRole('button', { name: 'Create token' }).click();
  await page.getByRole('button', { name: 'Done' }).click();
  await expect(page.getByRole('row', { name: /editor/ })).toContainText('model.use');
  await page.getByRole('button', { name: 'Delete editor' }).click();
  await page.getByRole('button', { name: 'Delete token' }).click();
});

test('a program has an account of its own', async ({ signedIn: page }) => {
  const { organizations } = await ask(page, 'GET', '/api/auth/me');
  await page.goto(`/organizations/${organizations[0].id}/people`);
  await page.getByRole('button', { name: 'New service account' }).click();
  await page.getByLabel('Name').fill('nightly-build');
  await page.getByLabel('What it is for').fill('Builds at night.');
  await page.getByLabel('Role', { exact: true }).selectOption({ label: 'Developer' });
  await readable(page);
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  const row = page.getByRole('row', { name: /nightly-build/ });
  await expect(row).toContainText('Developer');
  await page.getByRole('button', { name: 'New token of nightly-build' }).click();
  await page.getByLabel('Name').fill('runner');
  await page.getByRole('radio', { name: /^Only look/ }).check();
  await page.getByRole('button', { name: 'Create token' }).click();
  await expect(page.getByLabel('Secret')).toHaveValue(/^rat_/);
  await page.getByRole('button', { name: 'Done' }).click();
  await page.getByRole('button', { name: 'Tokens of nightly-build' }).click();
  await expect(page.getByRole('cell', { name: 'runner', exact: true })).toBeVisible();
  await page.getByRole('button', { name: 'Delete runner' }).click();
  await expect(page.getByRole('heading', { name: 'No tokens' })).toBeVisible();
  await page.getByRole('button', { name: 'Close' }).click();
  await readable(page);
  await page.getByRole('link', { name: 'nightly-build' }).click();
  await expect(page.getByText('This is a service account')).toBeVisible();
  await page.goBack();
  await page.getByRole('button', { name: 'Switch off nightly-build' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Switch off' }).click();
  await expect(row).toContainText('Switched off');
  await page.getByRole('button', { name: 'Switch on nightly-build' }).click();
  await expect(page.getByText('nightly-build is switched on. Make a token for it.')).toBeVisible();
  await expect(row).not.toContainText('Switched off');
  await page.getByRole('button', { name: 'Delete nightly-build' }).click();
  await page.getByRole('button', { name: 'Delete service account' }).click();
  await expect(row).toHaveCount(0);
});
