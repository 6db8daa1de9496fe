// Hands the content of one file to the browser as a download; nothing is asked of the server again.
import type { FileContent } from './api/types';

function bytesOf(file: FileContent): Uint8Array<ArrayBuffer> {
  if (file.encoding === 'utf-8') return new TextEncoder().encode(file.content);
  return Uint8Array.from(atob(file.content), (char) => char.charCodeAt(0));
}

export function saveContent(file: FileContent): void {
  const url = URL.createObjectURL(new Blob([bytesOf(file)], { type: 'application/octet-stream' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = file.path.split('/').at(-1) ?? 'file';
  link.click();
  URL.revokeObjectURL(url);
}
