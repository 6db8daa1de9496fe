// What people read while an agent writes JSON; no browser is needed for it.
import { expect, test } from '@playwright/test';
import { readable } from '../../embedded-ui/src/lib/answer';

test('an answer in JSON is read as text, at any moment', () => {
  const answer = {
    document: '# Plan\n\n"Short" links \u00fc',
    approved: false,
    problems: ['Slow.'],
    files: [{ path: 'src/a.py', content: 'print({"x": 1})\n' }],
  };
  const json = JSON.stringify(answer);
  const whole = '# Plan\n\n"Short" links \u00fc\n\napproved: false\n\nSlow.\n\nsrc/a.py\n\nprint({"x": 1})';
  expect(readable(json)).toBe(whole);
  expect(readable(JSON.stringify(answer, null, 2))).toBe(whole);
  expect(readable(`${json}${json}`)).toBe(`${whole}\n\n${whole}`);
  for (let end = 0; end <= json.length; end++) expect(whole).toContain(readable(json.slice(0, end)).trim());
  // Somebody opens the page while a document is being written.
  expect(readable('two\\nthree","summary":"Done."}')).toBe('two\nthree\n\nDone.');
});

test('an answer that is no JSON stays as it is', () => {
  for (const text of ['', 'Plain words.', '# A {plan}\n\n"Quoted", "more": yes\n', 'print({"x": 1})\n'])
    expect(readable(text)).toBe(text);
});
