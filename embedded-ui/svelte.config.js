// Svelte compiles in runes mode only, so that state is always visible as `$state` in the source.
import { vitePreprocess } from '@sveltejs/vite-plugin-svelte';

export default {
  preprocess: vitePreprocess(),
  compilerOptions: { runes: true },
};
