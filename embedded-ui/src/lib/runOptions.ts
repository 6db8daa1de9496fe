// The choices of a run as a form holds them, and as the server wants them.

export type Options = {
  model: string;
  /** A plugin's slug; empty: the platform's own order. */
  workflow: string;
  skipUiDesign: boolean;
  maxIterations: number;
  /** Null when the field is empty: no budget of its own, the quota alone counts. */
  tokenBudget: number | null;
};

export const MOST_ITERATIONS = 10;
/** Less cannot bring a run to its end. */
export const LEAST_BUDGET = 2000;

export function startOptions(): Options {
  return { model: '', workflow: '', skipUiDesign: false, maxIterations: 3, tokenBudget: null };
}

export function runBody(options: Options) {
  return {
    ...(options.model === '' ? {} : { model: options.model }),
    ...(options.workflow === '' ? {} : { workflow: options.workflow }),
    skip_ui_design: options.skipUiDesign,
    max_iterations: options.maxIterations,
    token_budget: options.tokenBudget,
  };
}
