// What the pages say when there is nothing yet, how far a keyboard gets, and names that are long.
import { type Page } from '@playwright/test';
import { accessible, createUser, expect, operate, signIn, test } from './site';

test('an empty list says what to do first, to whom may do it', async ({ page, site }) => {
  operate(site, ['org', 'create', '--name', 'Beginners', '--slug', 'beginners']);
  for (const [username, role] of [
    ['beginner', 'developer'],
    ['reader', 'viewer'],
  ] as const) {
    createUser(site, username, `a long password of ${username}`, ['--role', role, '--org', 'beginners']);
    await signIn(page, username, `a long password of ${username}`);
    await expect(page.getByRole('heading', { name: 'No projects yet' })).toBeVisible();
    await expect(page.getByRole('link', { name: 'New project' })).toHaveCount(role === 'viewer' ? 0 : 2);
    await accessible(page);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await expect(page.getByLabel('User name')).toBeVisible();
  }
});

/** Presses Tab until the element named so has the focus, as somebody without a mouse does. */
async function tabTo(page: Page, name: string): Promise<void> {
  const stops: string[] = [];
  while (stops.length < 40) {
    await page.keyboard.press('Tab');
    const stop = await page.evaluate(() => {
      const element = document.activeElement as HTMLElement;
      const outlined = getComputedStyle(element).outlineStyle !== 'none';
      const label = (element as HTMLInputElement).labels?.[0]?.textContent ?? element.textContent ?? '';
      return { label: label.trim(), outlined };
    });
    expect(stop.outlined, `"${stop.label}" shows that it has the focus`).toBe(true);
    if (stop.label === name) return;
    stops.push(stop.label);
  }
  throw new Error(`Tab does not reach "${name}", only ${stops.join(', ')}`);
}

test('Tab and Enter are enough to make a project and to read the audit log', async ({ signedIn: page }) => {
  await page.reload();
  await expect(page.getByRole('link', { name: 'URL shortener' })).toBeVisible();
  await tabTo(page, 'Skip to content');
  await page.keyboard.press('Enter');
  await tabTo(page, 'New project');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'New project' })).toBeFocused();
  await tabTo(page, 'Name');
  await page.keyboard.type('Without a mouse');
  await tabTo(page, 'Requirement');
  await page.keyboard.type('A calendar.');
  await tabTo(page, 'Create only');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'Without a mouse' })).toBeVisible();
  await page.reload();
  await expect(page.getByRole('button', { name: 'Start the agents' })).toBeVisible();
  await tabTo(page, 'Audit log');
  await page.keyboard.press('Enter');
  await expect(page.getByText('Created project Without a mouse')).toBeVisible();
});

test.describe('on a phone', () => {
  test.use({ viewport: { width: 390, height: 844 } });
  test('a long name is shown whole', async ({ signedIn: page }) => {
    const name = 'A_name_without_any_space_'.repeat(6);
    const made = await page.evaluate(async (name) => {
      const body = JSON.stringify({ name, requirements: 'Long words. '.repeat(40) });
      const headers = { 'content-type': 'application/json' };
      return (await fetch('/api/projects', { method: 'POST', headers, body })).status;
    }, name);
    expect(made).toBe(201);
    await page.reload();
    const box = await page.getByRole('link', { name }).boundingBox();
    expect(box!.x + box!.width).toBeLessThanOrEqual(390 - 16);
  });
});
