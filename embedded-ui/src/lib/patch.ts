// What an edit changes, line by line, in hunks with a few lines around each. The library comes in its own bundle, fetched
// when the first change is looked at.

export type PatchLine = {
  kind: 'same' | 'gone' | 'new';
  text: string;
  /** Its number in the text before; null: it is not there. */
  before: number | null;
  after: number | null;
};

/** Lines around a change. */
const AROUND = 3;
/** After this long two texts are too different to be shown by their changes. */
const TIME_LIMIT_MS = 2000;

/** The hunks; null: the texts are too different. */
export async function hunksOf(before: string, after: string): Promise<PatchLine[][] | null> {
  const { structuredPatch } = await import('diff');
  const options = { context: AROUND, timeout: TIME_LIMIT_MS };
  const patch = structuredPatch('', '', before, after, '', '', options);
  return patch?.hunks.map(({ oldStart, newStart, lines }) => numbered(lines, oldStart, newStart)) ?? null;
}

/** Lines of a unified patch with their numbers; what says that the last line does not end is no line. */
export function numbered(lines: string[], before: number, after: number): PatchLine[] {
  return lines
    .filter((line) => !line.startsWith('\\'))
    .map((line): PatchLine => {
      const text = line.slice(1);
      if (line.startsWith('-')) return { kind: 'gone', text, before: before++, after: null };
      if (line.startsWith('+')) return { kind: 'new', text, before: null, after: after++ };
      return { kind: 'same', text, before: before++, after: after++ };
    });
}
