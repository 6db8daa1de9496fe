/** {{name}}: tells another system what happens here. */

import { http, IntegrationPlugin, log } from "resoftai";

export default class {{class}}Plugin extends IntegrationPlugin {
  get toolName() {
    return "{{name}}";
  }

  sendNotification({ event, data }) {
    const reply = http.post(this.config.webhook_url, { json: { event, data } });
    if (reply.status >= 300) {
      log.warning(`The webhook answered ${reply.status}.`);
    }
    return reply.status < 300;
  }
}
