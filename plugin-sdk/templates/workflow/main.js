/** {{name}}: an order of stages for projects. */

import { WorkflowPlugin } from "resoftai";

export default class {{class}}Plugin extends WorkflowPlugin {
  getWorkflowStages() {
    return ["requirements_analysis", "architecture_design", "development", "testing"];
  }
}
