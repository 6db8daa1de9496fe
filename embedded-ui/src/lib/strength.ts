// How hard a password is to guess, by the estimate that the server uses too (zxcvbn). The server decides: it knows
// more words, and the passwords of before. The word lists are loaded when the first password is typed.

/** 0 (guessed at once) to 4 (not guessed), as zxcvbn counts. */
export type Score = 0 | 1 | 2 | 3 | 4;

/** The least length and score that the server takes. */
export const LEAST_LENGTH = 16;
export const LEAST_SCORE = 3;

export const SCORE_WORDS: Record<Score, string> = {
  0: 'Guessed at once',
  1: 'Easily guessed',
  2: 'Can be guessed',
  3: 'Hard to guess',
  4: 'Very hard to guess',
};

/** More is not looked at: the estimate takes time that grows with the square of the length. */
const LOOKED_AT = 100;

const estimator = async () => {
  const [{ ZxcvbnFactory }, common] = await Promise.all([
    import('@zxcvbn-ts/core'),
    import('@zxcvbn-ts/language-common'),
  ]);
  return new ZxcvbnFactory({ dictionary: common.dictionary, graphs: common.adjacencyGraphs });
};
let loaded: ReturnType<typeof estimator> | null = null;

/** `known`: words that anybody who guesses would try, such as the person's name. */
export async function strength(password: string, known: string[]): Promise<Score> {
  loaded ??= estimator();
  return (await loaded).check(password.slice(0, LOOKED_AT), [...known, 'resoftai']).score;
}
