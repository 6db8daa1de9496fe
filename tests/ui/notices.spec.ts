// The bell and what it leads to. The replies are the test's own: what raises a notice has tests beside the server.
import { createUser, expect, readable, signIn, test } from './site';

const PASSWORD = 'a kettle sings on the stove';

test.use({ model: false });

test('the bell counts what is unread; a notice is read when it is opened', async ({ signedIn: page }) => {
  const notice = (id: number, read: boolean) => ({
    id,
    organization_id: null,
    kind: 'quota_warning',
    text: `80 % of quota ${id} are used.`,
    link: id === 1 ? '/account/tokens' : null,
    created_at: '2026-01-01T00:00:00Z',
    read_at: read ? '2026-01-02T00:00:00Z' : null,
  });
  const read = new Set<number>();
  await page.route('**/api/notices?*', (route) => {
    const items = [1, 2, 3].map((id) => notice(id, read.has(id)));
    return route.fulfill({ json: { items, next_cursor: null, unread: 3 - read.size } });
  });
  await page.route('**/api/notices/*/read', (route) => {
    read.add(Number(/notices\/(\d+)/.exec(route.request().url())![1]));
    return route.fulfill({ status: 204 });
  });
  await page.route('**/api/notices/read', (route) => {
    const unread = 3 - read.size;
    for (const id of [1, 2, 3]) read.add(id);
    return route.fulfill({ json: { read: unread } });
  });
  await page.reload();
  const bell = (name: string) => page.getByRole('link', { name, exact: true });
  await bell('Notices, 3 unread').click();
  await expect(page.getByRole('heading', { name: 'Notices' })).toBeFocused();
  await readable(page);
  await page.getByRole('button', { name: /Mark as read 80 % of quota 2/ }).click();
  await expect(bell('Notices, 2 unread')).toBeVisible();
  await page.getByRole('link', { name: '80 % of quota 1 are used.' }).click();
  await expect(page).toHaveURL(/account\/tokens/);
  await bell('Notices, 1 unread').click();
  await page.getByRole('button', { name: 'Mark all as read' }).click();
  await expect(bell('Notices')).toBeVisible();
  await expect(page.getByRole('button', { name: /Mark/ })).toHaveCount(0);
});

test('without notices the page says what comes there', async ({ page, site }) => {
  createUser(site, 'quiet', PASSWORD, ['--role', 'viewer', '--org', 'demo']);
  await signIn(page, 'quiet', PASSWORD);
  await page.getByRole('link', { name: 'Notices' }).click();
  await expect(page.getByRole('heading', { name: 'No notices' })).toBeVisible();
  await expect(page.getByRole('alert')).toHaveCount(0);
});
