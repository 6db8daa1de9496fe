/** {{name}}: a plugin that hangs on hooks. */

import { kv, log, Plugin } from "resoftai";

/** Counts the files that were made. */
export default class {{class}}Plugin extends Plugin {
  activate() {
    this.hooks.action("file.create.after", ({ path }) => {
      const count = kv.get("files", 0) + 1;
      kv.set("files", count);
      log.info(`${count} files were made, the last one is ${path}.`);
    });
  }
}
