// Hands something that is here already to the browser as a download; nothing is asked of the server again.
import type { FileContent } from './api/types';

function bytesOf(file: FileContent): Uint8Array<ArrayBuffer> {
  if (file.encoding === 'utf-8') return new TextEncoder().encode(file.content);
  return Uint8Array.from(atob(file.content), (char) => char.charCodeAt(0));
}

function save(name: string, bytes: BlobPart): void {
  const url = URL.createObjectURL(new Blob([bytes], { type: 'application/octet-stream' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}

export function saveContent(file: FileContent): void {
  save(file.path.split('/').at(-1) ?? 'file', bytesOf(file));
}

export function saveText(name: string, text: string): void {
  save(name, text);
}
