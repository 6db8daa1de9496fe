/** {{name}}: a new member of the team that builds software. */

import { AgentPlugin } from "resoftai";

export default class {{class}}Plugin extends AgentPlugin {
  get toolName() {
    return "{{role}}";
  }

  get systemPrompt() {
    return "You review software documentation. Answer with a short list of improvements, the most important first.";
  }

  get responsibleStages() {
    return ["documentation_review"];
  }
}
