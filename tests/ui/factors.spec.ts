// The second factor in the browser: set up, asked for at the door, recovery codes, turned off.
import { createHmac } from 'node:crypto';
import { type Page } from '@playwright/test';
import { createUser, expect, operate, readable, signIn, test } from './site';

test.use({ model: false });

const PASSWORD = 'four plain words walk by';

/** The code that an authenticator app shows (RFC 6238), now or some half minutes later. */
function code(secret: string, later = 0): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...secret].map((c) => alphabet.indexOf(c).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g)!.map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + later));
  const mac = createHmac('sha1', key).update(counter).digest();
  const at = mac[19]! & 15;
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

async function askForCode(page: Page, username: string): Promise<void> {
  await page.goto('/');
  await page.getByLabel('User name').fill(username);
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await expect(page.getByLabel('Code')).toBeFocused();
}

test('an authenticator app is set up and asked for at the door', async ({ page, site }) => {
  createUser(site, 'careful', PASSWORD, ['--role', 'developer', '--org', 'demo']);
  await signIn(page, 'careful', PASSWORD);
  await page.goto('/account/security');
  await page.getByRole('button', { name: 'Set up an authenticator app' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Your password').fill('not the password at all');
  await dialog.getByRole('button', { name: 'Go on' }).click();
  await expect(dialog.getByLabel('Your password')).toHaveAttribute('aria-invalid', 'true');
  await dialog.getByLabel('Your password').fill(PASSWORD);
  await dialog.getByRole('button', { name: 'Go on' }).click();
  const secret = await dialog.getByLabel('Secret').inputValue();
  const picture = dialog.getByRole('img', { name: 'QR code' });
  await expect(picture).toBeVisible();
  await expect
    .poll(() => picture.evaluate((image: HTMLImageElement) => image.naturalWidth))
    .toBeGreaterThan(100);
  await readable(page);
  await dialog.getByLabel('Code', { exact: true }).fill('000000');
  await dialog.getByRole('button', { name: 'Switch on' }).click();
  await expect(dialog.getByLabel('Code', { exact: true })).toHaveAttribute('aria-invalid', 'true');
  await dialog.getByLabel('Code', { exact: true }).fill(code(secret));
  await dialog.getByRole('button', { name: 'Switch on' }).click();
  const codes = (await dialog.getByLabel('Recovery codes').inputValue()).split('\n');
  expect(codes).toHaveLength(10);
  await readable(page);
  await dialog.getByRole('button', { name: 'I have kept them' }).click();
  await expect(page.getByText('10 recovery codes are left.')).toBeVisible();
  await readable(page);

  await page.getByRole('button', { name: 'Sign out' }).click();
  await askForCode(page, 'careful');
  await readable(page);
  await page.getByLabel('Code').fill('000000');
  await page.keyboard.press('Enter');
  await expect(page.getByLabel('Code')).toHaveAttribute('aria-invalid', 'true');
  await page.getByLabel('Code').fill(code(secret, 1));
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'Projects', exact: true })).toBeVisible();

  await page.getByRole('button', { name: 'Sign out' }).click();
  await askForCode(page, 'careful');
  await page.getByRole('button', { name: 'Use a recovery code' }).click();
  await expect(page.getByLabel('Recovery code')).toBeFocused();
  await page.getByLabel('Recovery code').fill(codes[0]!.toUpperCase());
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'Projects', exact: true })).toBeVisible();

  await page.goto('/account/security');
  await page.getByRole('button', { name: 'New recovery codes' }).click();
  await dialog.getByLabel('Your password').fill(PASSWORD);
  await dialog.getByLabel('Code', { exact: true }).fill(codes[1]!);
  await dialog.getByRole('button', { name: 'Make new codes' }).click();
  const fresh = (await dialog.getByLabel('Recovery codes').inputValue()).split('\n');
  expect(fresh.some((one) => codes.includes(one))).toBe(false);
  await dialog.getByRole('button', { name: 'I have kept them' }).click();

  await page.getByRole('button', { name: 'Turn off' }).click();
  await dialog.getByLabel('Your password').fill(PASSWORD);
  await dialog.getByLabel('Code', { exact: true }).fill(fresh[0]!);
  await readable(page);
  await dialog.getByRole('button', { name: 'Turn off' }).click();
  await expect(page.getByText('Your second factor is off.')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Set up an authenticator app' })).toBeVisible();
});

test('who lost the app is told when an administrator lets them in', async ({ page, site }) => {
  createUser(site, 'loser', PASSWORD, ['--role', 'developer', '--org', 'demo']);
  await signIn(page, 'loser', PASSWORD);
  await page.goto('/account/security');
  await page.getByRole('button', { name: 'Set up an authenticator app' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Your password').fill(PASSWORD);
  await dialog.getByRole('button', { name: 'Go on' }).click();
  const secret = await dialog.getByLabel('Secret').inputValue();
  await dialog.getByLabel('Code', { exact: true }).fill(code(secret));
  await dialog.getByRole('button', { name: 'Switch on' }).click();
  await dialog.getByRole('button', { name: 'I have kept them' }).click();
  operate(site, ['user', 'reset-factor', 'loser', '--yes']);
  await page.reload();
  await signIn(page, 'loser', PASSWORD);
  await page.goto('/notices');
  await expect(page.getByRole('link', { name: /were taken away by an administrator/ })).toBeVisible();
});

test('who needs a second factor is told on every page, until there is one', async ({ page, site }) => {
  operate(site, ['org', 'create', '--name', 'Vault', '--slug', 'vault']);
  createUser(site, 'guarded', PASSWORD, ['--role', 'developer', '--org', 'vault']);
  await signIn(page, 'guarded', PASSWORD);
  const banner = page.getByRole('status').filter({ hasText: 'second factor' });
  await expect(banner).toHaveCount(0);
  operate(site, ['org', 'settings', 'vault', '--set', 'require_second_factor=true']);
  await page.goto('/organizations');
  await expect(banner).toContainText('Vault asks for a second factor');
  await readable(page);
  await banner.getByRole('link', { name: 'Set one up' }).click();
  await expect(page.getByRole('heading', { name: 'My account' })).toBeVisible();
  await expect(banner).toBeVisible();
  await page.getByRole('button', { name: 'Set up an authenticator app' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Your password').fill(PASSWORD);
  await dialog.getByRole('button', { name: 'Go on' }).click();
  const secret = await dialog.getByLabel('Secret').inputValue();
  await dialog.getByLabel('Code', { exact: true }).fill(code(secret));
  await dialog.getByRole('button', { name: 'Switch on' }).click();
  await dialog.getByRole('button', { name: 'I have kept them' }).click();
  await expect(banner).toHaveCount(0);
  await page.getByRole('link', { name: 'Organisations' }).click();
  await page.getByRole('link', { name: 'Vault' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Vault' })).toBeVisible();
});

test('a passkey is made, and signs in alone', async ({ browser, site }) => {
  createUser(site, 'keyholder', PASSWORD, ['--role', 'developer', '--org', 'demo']);
  // Browsers make no passkeys for bare addresses.
  const url = site.url.replace('127.0.0.1', 'localhost');
  const context = await browser.newContext({ baseURL: url });
  const page = await context.newPage();
  const cdp = await context.newCDPSession(page);
  await cdp.send('WebAuthn.enable');
  const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  await page.goto('/');
  await page.getByLabel('User name').fill('keyholder');
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await expect(page.getByRole('heading', { name: 'Projects', exact: true })).toBeVisible();
  await page.goto('/account/security');
  await page.getByRole('button', { name: 'New passkey' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('This telephone');
  await dialog.getByLabel('Your password').fill('not the password at all');
  await dialog.getByRole('button', { name: 'Make passkey' }).click();
  await expect(dialog.getByLabel('Your password')).toHaveAttribute('aria-invalid', 'true');
  await dialog.getByLabel('Your password').fill(PASSWORD);
  await readable(page);
  await dialog.getByRole('button', { name: 'Make passkey' }).click();
  await expect(page.getByRole('cell', { name: 'This telephone', exact: true })).toBeVisible();
  await expect(page.getByRole('cell', { name: 'localhost', exact: true })).toBeVisible();
  await readable(page);
  const { credentials } = await cdp.send('WebAuthn.getCredentials', { authenticatorId });
  expect(credentials).toHaveLength(1);
  expect(credentials[0]!.isResidentCredential).toBe(true);

  // Signed in without a name or a password.
  await page.getByRole('button', { name: 'Sign out' }).click();
  const passkey = page.getByRole('button', { name: 'Sign in with a passkey' });
  const inside = page.getByRole('heading', { level: 1, name: /Projects|My account/ });
  // The browser may offer the passkey by itself and be inside before anything is clicked.
  await expect(async () => {
    if (!(await inside.isVisible())) await passkey.click({ timeout: 1_000 });
    await expect(inside).toBeVisible({ timeout: 2_000 });
  }).toPass();
  await page.goto('/account/sessions');
  await expect(page.getByRole('row').filter({ hasText: 'This one' })).toContainText('Two factors');

  // A device that does not verify its owner is refused, and the page says what happened.
  await page.goto('/account/security');
  await page.getByRole('button', { name: 'Rename This telephone' }).click();
  await dialog.getByLabel('Name').fill('Key ring');
  await dialog.getByRole('button', { name: 'Rename' }).click();
  await page.getByRole('button', { name: 'Delete Key ring' }).click();
  await dialog.getByLabel('Your password').fill(PASSWORD);
  await dialog.getByRole('button', { name: 'Delete passkey' }).click();
  await expect(page.getByText('Key ring was deleted.')).toBeVisible();
  await page.getByRole('button', { name: 'Sign out' }).click();
  // The browser may have offered it by itself already, and the page have said so.
  await passkey.click();
  await expect(page.getByText('The passkey was refused')).toBeVisible();
  await context.close();
});

test('an address without a name says why it has no passkeys', async ({ page, site }) => {
  createUser(site, 'bare', PASSWORD, ['--role', 'developer', '--org', 'demo']);
  await signIn(page, 'bare', PASSWORD);
  await page.goto('/account/security');
  await expect(page.getByText('Passkeys need a host name')).toBeVisible();
  await expect(page.getByRole('button', { name: 'New passkey' })).toHaveCount(0);
});
