// The build of the embedded UI: everything ends in ../target/parts/ui with hashed names, and nothing is inlined into
// index.html, because the server's content security policy allows no inline script or style.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';
import { gzipFiles } from './build/gzip.ts';

export default defineConfig({
  plugins: [svelte(), gzipFiles()],
  build: {
    outDir: '../target/parts/ui',
    emptyOutDir: true,
    assetsDir: 'assets',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
    license: { fileName: 'assets/third-party-licenses.txt' },
  },
  server: {
    proxy: {
      '/api': { target: process.env.RESOFTAI_URL ?? 'http://127.0.0.1:8080', changeOrigin: true },
    },
  },
});
