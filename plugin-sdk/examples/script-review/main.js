/** Reviews JavaScript and TypeScript. The same rules answer `analyze_code` and the hook `code.analyze`. */

import { CodeQualityPlugin, log } from "resoftai";

import { RULES } from "./rules.js";

const LANGUAGES = new Set(["javascript", "typescript", "jsx", "tsx"]);

export default class ScriptReview extends CodeQualityPlugin {
  get toolName() {
    return "script_review";
  }

  activate() {
    const known = new Set(RULES.map((rule) => rule.type));
    const unknown = this.config.ignore.filter((type) => !known.has(type));
    if (unknown.length > 0) {
      throw new RangeError(`ignore names ${unknown.join(", ")}, which is none of ${[...known].join(", ")}.`);
    }
    this.rules = RULES.filter((rule) => !this.config.ignore.includes(rule.type));
    this.hooks.filter("code.analyze", (value) => ({ ...value, script_review: this.analyzeCode(value) }), 20);
    log.info(`Reviewing scripts by ${this.rules.length} rules`);
  }

  analyzeCode({ code, language }) {
    if (!LANGUAGES.has(language)) {
      return { issues: [] };
    }
    const found = (line, index) =>
      this.rules
        .filter((rule) => rule.pattern.test(line))
        .map(({ pattern, ...finding }) => ({ ...finding, line: index + 1, code: line.trim() }));
    return { issues: code.split("\n").flatMap(found) };
  }
}
