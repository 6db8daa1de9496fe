// Names that are chosen from or proposed.
export const TIERS = ['free', 'starter', 'professional', 'enterprise'];

/** The short name for commands that a name proposes: `QA Engineer` gives `qa-engineer`, or `qa_engineer`. A code of a
 *  role, which is joined by `_`, begins with a letter. */
export function shortName(name: string, joint: '-' | '_'): string {
  const parts = name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/\p{M}/gu, '')
    .split(/[^a-z0-9]+/)
    .filter((part) => part !== '');
  const short = parts.join(joint);
  return joint === '_' ? short.replace(/^[^a-z]+/, '') : short;
}
