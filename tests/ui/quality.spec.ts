// Code quality: having plugins look at a project, the gate that holds its runs, and a text that a plugin proposes.
import { type Page } from '@playwright/test';
import { bringIn, packed } from './plugin';
import { withScribe } from './scribe';
import { ask, createUser, demoOf, expect, readable, signIn, type Site, test } from './site';

test.use({ model: false });

const PASSWORD = 'nine calm judges read slowly';
const MODEL = 'gate-scribe';

/** A plugin that objects to every line that shouts, and mends it. */
const INSPECTOR = packed(
  {
    slug: 'inspector',
    ...{ name: 'Inspector', version: '1.0.0', category: 'code_quality', entry_point: 'main.py:Inspector' },
  },
  [
    'from resoftai.plugins.base import CodeQualityPlugin',
    'class Inspector(CodeQualityPlugin):',
    '    def load(self, context):',
    '        return True',
    '    def activate(self):',
    '        return True',
    '    def deactivate(self):',
    '        return True',
    '    def unload(self):',
    '        return True',
    '    def get_tool_name(self):',
    '        return "inspector"',
    '    async def analyze_code(self, code, language):',
    '        lines = enumerate(code.splitlines(), 1)',
    '        return {"issues": [{"type": "shouting", "severity": "critical", "message": "This line shouts.",',
    '            "line": number, "recommendation": "Say it softly."} for number, line in lines if "LOUD" in line]}',
    '    def fix_code(self, code, language):',
    '        return code.replace("LOUD", "soft")',
  ],
);

/** An administrator of the site, with the inspector at work, and a project whose two files shout. */
async function shouting(page: Page, site: Site, username: string): Promise<{ org: number; project: number }> {
  createUser(site, username, PASSWORD, ['--role', 'super_admin']);
  await signIn(page, username, PASSWORD);
  await bringIn(page, INSPECTOR);
  const org = await demoOf(page);
  const made = { name: `Bells of ${username}`, requirements: 'A bell.', organization_id: org };
  const { id } = await ask(page, 'POST', '/api/projects', made);
  for (const path of ['peal.txt', 'old/toll.txt']) {
    await ask(page, 'POST', `/api/projects/${id}/files`, { path, content: 'one\nLOUD two\nthree\n' });
  }
  await expect
    .poll(async () => (await ask(page, 'GET', `/api/projects/${id}/quality`)).findings.critical)
    .toBe(2);
  return { org, project: id };
}

test('plugins look at a project when they are asked, and one mends a file', async ({ page, site }) => {
  const { project } = await shouting(page, site, 'ringer');
  await page.goto(`/projects/${project}`);
  await page.getByRole('link', { name: 'Quality' }).click();
  const quality = page.getByRole('region', { name: 'Quality' });
  await expect(quality).toContainText('80.0');
  await expect(quality).toContainText('None: runs go on whatever is found.');
  await expect(page.getByRole('row').filter({ hasText: 'This line shouts.' })).toHaveCount(2);
  await page.getByText('Files with the lowest scores').click();
  await readable(page);
  await quality.getByRole('button', { name: 'Look at this project' }).click();
  await expect(quality.getByText(/^Last asked for/)).toBeVisible();
  expect((await ask(page, 'GET', `/api/projects/${project}/quality`)).analysis.files_done).toBe(2);

  await quality.getByRole('link', { name: 'peal.txt' }).click();
  await page.getByRole('button', { name: 'In order' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog).toContainText('No plugin that works here puts such files in order.');
  await dialog.getByRole('button', { name: 'Close' }).click();
  await page.getByRole('button', { name: 'Mended by inspector' }).click();
  const changes = dialog.getByRole('region', { name: 'Changes to peal.txt' });
  await expect(changes).toContainText('Gone: LOUD two');
  await expect(changes).toContainText('New: soft two');
  await readable(page);
  await dialog.getByRole('button', { name: 'Take these changes' }).click();
  await expect(page.getByText('The proposal is version 2 of peal.txt.')).toBeVisible();
  await expect(page.getByRole('region', { name: 'Text of peal.txt' })).toContainText('soft two');
  await page.getByRole('link', { name: 'Quality' }).click();
  await expect(page.getByRole('row').filter({ hasText: 'This line shouts.' })).toHaveCount(1);
  await expect(quality).toContainText('90.0');

  await page.context().clearCookies();
  createUser(site, 'listener', PASSWORD, ['--role', 'viewer', '--org', 'demo']);
  await signIn(page, 'listener', PASSWORD);
  await page.goto(`/projects/${project}/findings`);
  await expect(quality).toContainText('90.0');
  await expect(page.locator('main').getByRole('button')).toHaveCount(0);
});

test('a gate holds a run with its reason, until somebody who may lets it pass', async ({ page, site }) => {
  test.setTimeout(120_000);
  const { org, project } = await shouting(page, site, 'gatekeeper');
  const close = await withScribe(page, org, MODEL);
  await page.goto(`/projects/${project}/settings`);
  await page.getByLabel('Critical findings at most').fill('0');
  await page.getByLabel('Score at least').fill('75');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByText('Saved.')).toBeVisible();
  await readable(page);
  await page.getByRole('link', { name: 'Quality' }).click();
  const quality = page.getByRole('region', { name: 'Quality' });
  await expect(quality).toContainText('Holds runs');
  await expect(quality).toContainText('Findings that are critical: 2; the project allows 0.');
  await readable(page);

  await ask(page, 'POST', `/api/projects/${project}/runs`, { model: MODEL, skip_ui_design: true });
  await page.goto(`/projects/${project}`);
  const held = page.getByRole('note');
  await expect(held).toContainText('Findings that are critical: 2; the project allows 0.', {
    timeout: 60_000,
  });
  await readable(page);
  await page.getByRole('button', { name: 'Resume' }).click();
  await expect(page.getByRole('alert')).toContainText('Mend the files');
  for (const stage of ['testing', 'qa_review', 'completed']) {
    await held.getByRole('button', { name: 'Go on all the same' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Go on all the same' }).click();
    if (stage === 'completed') break;
    await expect
      .poll(async () => {
        const { items } = await ask(page, 'GET', `/api/projects/${project}/runs`);
        return [items[0].stage, items[0].held !== null];
      })
      .toEqual([stage, true]);
  }
  await expect(page.getByRole('button', { name: 'Run again' })).toBeVisible();
  await expect(held).toHaveCount(0);
  close();
});
