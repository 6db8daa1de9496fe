// Syntax colours for the file viewer, one HTML string a line. The library escapes the text; lines are cut
// afterwards so that a comment or string over several lines keeps its colour on each.
import hljs from 'highlight.js/lib/core';
import bash from 'highlight.js/lib/languages/bash';
import c from 'highlight.js/lib/languages/c';
import cpp from 'highlight.js/lib/languages/cpp';
import csharp from 'highlight.js/lib/languages/csharp';
import css from 'highlight.js/lib/languages/css';
import dockerfile from 'highlight.js/lib/languages/dockerfile';
import go from 'highlight.js/lib/languages/go';
import ini from 'highlight.js/lib/languages/ini';
import java from 'highlight.js/lib/languages/java';
import javascript from 'highlight.js/lib/languages/javascript';
import json from 'highlight.js/lib/languages/json';
import kotlin from 'highlight.js/lib/languages/kotlin';
import makefile from 'highlight.js/lib/languages/makefile';
import markdown from 'highlight.js/lib/languages/markdown';
import php from 'highlight.js/lib/languages/php';
import python from 'highlight.js/lib/languages/python';
import ruby from 'highlight.js/lib/languages/ruby';
import rust from 'highlight.js/lib/languages/rust';
import sql from 'highlight.js/lib/languages/sql';
import typescript from 'highlight.js/lib/languages/typescript';
import xml from 'highlight.js/lib/languages/xml';
import yaml from 'highlight.js/lib/languages/yaml';
import { cutLines, escapeHtml } from './lines';

const LANGUAGES = {
  bash,
  c,
  cpp,
  csharp,
  css,
  dockerfile,
  go,
  ini,
  java,
  javascript,
  json,
  kotlin,
  makefile,
  markdown,
  php,
  python,
  ruby,
  rust,
  sql,
  typescript,
  xml,
  yaml,
};
for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);

/** Above this size colours would cost more than they help. */
const LARGEST_CHARS = 400_000;

function languageOf(path: string, language: string | null): string | null {
  const file = path.split('/').at(-1) ?? path;
  const ending = file.includes('.') ? (file.split('.').at(-1) ?? '') : file;
  for (const name of [language, ending, file]) {
    if (name && hljs.getLanguage(name.toLowerCase())) return name.toLowerCase();
  }
  return null;
}

export function highlightLines(text: string, path: string, language: string | null): string[] {
  const name = text.length > LARGEST_CHARS ? null : languageOf(path, language);
  const html = name ? hljs.highlight(text, { language: name, ignoreIllegals: true }).value : escapeHtml(text);
  return cutLines(html);
}
