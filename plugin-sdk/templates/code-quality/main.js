/** {{name}}: looks at code and may mend it. */

import { CodeQualityPlugin } from "resoftai";

/** Finds lines that are too long, and spaces at the end of lines. */
export default class {{class}}Plugin extends CodeQualityPlugin {
  get toolName() {
    return "{{slug}}";
  }

  analyzeCode({ code }) {
    const longest = this.config.max_length;
    const issues = code.split("\n").flatMap((line, index) => {
      const found = [];
      if (line.length > longest) {
        const message = `The line has ${line.length} characters; ${longest} are allowed.`;
        found.push({ type: "line_length", severity: "low", message, line: index + 1 });
      }
      if (line !== line.trimEnd()) {
        const message = "There are spaces at the end of the line.";
        found.push({ type: "trailing_space", severity: "low", message, line: index + 1 });
      }
      return found;
    });
    return { issues, score: Math.max(0, 100 - issues.length) };
  }

  fixCode({ code }) {
    return code.split("\n").map((line) => line.trimEnd()).join("\n");
  }
}
