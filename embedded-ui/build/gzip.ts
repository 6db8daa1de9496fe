// Writes `<file>.gz` next to every text file of the build that gains from it; the server picks it by
// Accept-Encoding. Compression happens once, here, and never while a request waits.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';

const TEXT = /\.(html|js|css|svg|json|txt)$/;
const SMALLEST_BYTES = 1024;

export function gzipFiles(): Plugin {
  let outDir = 'dist';
  return {
    name: 'gzip-files',
    apply: 'build',
    configResolved(config) {
      outDir = config.build.outDir;
    },
    async closeBundle() {
      const names = await readdir(outDir, { recursive: true });
      for (const name of names.filter((name) => TEXT.test(name))) {
        const bytes = await readFile(join(outDir, name));
        if (bytes.length < SMALLEST_BYTES) continue;
        await writeFile(join(outDir, `${name}.gz`), gzipSync(bytes, { level: 9 }));
      }
    },
  };
}
