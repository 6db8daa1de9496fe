// Cuts highlighted HTML into lines, closing and opening again the spans that run over a line's end.

export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

export function cutLines(html: string): string[] {
  const open: string[] = [];
  const lines = html.split('\n').map((line) => {
    const before = open.join('');
    for (const tag of line.matchAll(/<span[^>]*>|<\/span>/g)) {
      if (tag[0] === '</span>') open.pop();
      else open.push(tag[0]);
    }
    return before + line + '</span>'.repeat(open.length);
  });
  if (lines.length > 1 && lines.at(-1) === '') lines.pop();
  return lines;
}
