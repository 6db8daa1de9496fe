/** {{name}}: a project to start from. */

import { ownFiles, TemplatePlugin } from "resoftai";

const FOLDER = "files/";

/** Offers the files of the folder `files`, as they lie there. */
export default class {{class}}Plugin extends TemplatePlugin {
  getTemplateFiles() {
    const paths = ownFiles.list().filter((path) => path.startsWith(FOLDER));
    return Object.fromEntries(paths.map((path) => [path.slice(FOLDER.length), ownFiles.readText(path)]));
  }
}
