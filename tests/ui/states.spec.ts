// What the pages say when there is nothing yet, how far a keyboard gets, and names that are long.
import { type Page } from '@playwright/test';
import { accessible, ask, createUser, expect, operate, signIn, test } from './site';

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

test('a viewer sees everything and is offered nothing that would be refused', async ({ page, site }) => {
  createUser(site, 'watcher', 'a password to watch with', ['--role', 'viewer', '--org', 'demo']);
  operate(site, ['project', 'create', '--name', 'Not begun', '--requirements', 'A bell.', '--org', 'demo']);
  await signIn(page, 'watcher', 'a password to watch with');
  await page.getByRole('link', { name: 'Not begun' }).click();
  await expect(page.getByRole('heading', { name: 'The agents have not started yet' })).toBeVisible();
  await expect(page.locator('main').getByRole('button')).toHaveCount(0);
  await page.goto(`/projects/${site.project}/runs/${site.run}`);
  await page.getByRole('button', { name: /Requirement analysis/ }).click();
  await expect(page.getByRole('button', { name: /Pause|Resume|Cancel|Retry|Run again/ })).toHaveCount(0);
  await page.goto(`/projects/${site.project}/settings`);
  await expect(page.getByLabel('Name')).toHaveJSProperty('readOnly', true);
  await expect(page.locator('main').getByRole('button', { name: /Save|Delete/ })).toHaveCount(0);
  await accessible(page);
  const { items } = await ask(page, 'GET', '/api/organizations');
  await page.goto(`/organizations/${items[0].id}/people`);
  await expect(page.getByRole('cell', { name: 'watcher', exact: true })).toBeVisible();
  // A part that would be refused is not among the tabs.
  const parts = page.getByRole('navigation', { name: 'Organisation' }).getByRole('link');
  await expect(parts.filter({ hasText: 'People' })).toHaveCount(1);
  await expect(parts.filter({ hasText: 'Audit' })).toHaveCount(0);
  await expect(page.locator('main').getByRole('button')).toHaveCount(0);
  // What the navigation leads to can be read.
  const links = page.getByRole('navigation', { name: 'Main' }).getByRole('link');
  const names = await links.allTextContents();
  expect(names.map((name) => name.trim())).toEqual(['Projects', 'Plugins', 'Marketplace', 'Organisations', 'My account']);
  for (const name of names) {
    await links.filter({ hasText: name.trim() }).click();
    await expect(page.getByRole('heading', { level: 1, name: name.trim() })).toBeVisible();
    await page.waitForLoadState('networkidle');
    await expect(page.getByRole('alert')).toHaveCount(0);
  }
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
