/** What is looked for, line by line. Text in strings is looked at too: a false alarm costs less than a missed one. */
export const RULES = [
  {
    type: "var",
    severity: "low",
    pattern: /^\s*var\s/,
    message: "var is visible outside of its block.",
    recommendation: "Use const, or let where it changes.",
  },
  {
    type: "loose_comparison",
    severity: "medium",
    pattern: /[^=!<>]==[^=]|!=[^=]/,
    message: "Loose comparison converts its operands first.",
    recommendation: "Compare with === or !==.",
  },
  {
    type: "debugger",
    severity: "high",
    pattern: /^\s*debugger\b/,
    message: "A debugger statement was left here.",
    recommendation: "Delete it.",
  },
  {
    type: "eval",
    severity: "critical",
    pattern: /\b(eval|new Function)\s*\(/,
    message: "Text is run as code.",
    recommendation: "Parse the text as data, for instance with JSON.parse.",
  },
];
