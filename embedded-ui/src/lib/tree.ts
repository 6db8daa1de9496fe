// A list of paths as a tree: folders first, then files, each in the order of their names.
import type { ProjectFile } from './api/types';

export type TreeFolder = { kind: 'folder'; name: string; path: string; children: TreeNode[] };
export type TreeNode = TreeFolder | { kind: 'file'; name: string; file: ProjectFile };
export type TreeRow = { depth: number; node: TreeNode; key: string; open: boolean };

export function buildTree(files: ProjectFile[]): TreeNode[] {
  const root: TreeFolder = { kind: 'folder', name: '', path: '', children: [] };
  const folders = new Map<string, TreeFolder>([['', root]]);
  const folderAt = (path: string): TreeFolder => {
    const known = folders.get(path);
    if (known) return known;
    const cut = path.lastIndexOf('/');
    const parent = folderAt(cut < 0 ? '' : path.slice(0, cut));
    const folder: TreeFolder = { kind: 'folder', name: path.slice(cut + 1), path, children: [] };
    folders.set(path, folder);
    parent.children.push(folder);
    return folder;
  };
  for (const file of files) {
    const cut = file.path.lastIndexOf('/');
    const parent = folderAt(cut < 0 ? '' : file.path.slice(0, cut));
    parent.children.push({ kind: 'file', name: file.path.slice(cut + 1), file });
  }
  for (const folder of folders.values()) {
    folder.children.sort((a, b) =>
      a.kind === b.kind ? a.name.localeCompare(b.name) : a.kind === 'folder' ? -1 : 1,
    );
  }
  return root.children;
}

/** The rows that are visible when the folders of `closed` are shut. */
export function visibleRows(nodes: TreeNode[], closed: ReadonlySet<string>, depth = 0): TreeRow[] {
  return nodes.flatMap((node) => {
    if (node.kind === 'file') return [{ depth, node, key: `f${node.file.id}`, open: false }];
    const open = !closed.has(node.path);
    const row = { depth, node, key: `d${node.path}`, open };
    return open ? [row, ...visibleRows(node.children, closed, depth + 1)] : [row];
  });
}
