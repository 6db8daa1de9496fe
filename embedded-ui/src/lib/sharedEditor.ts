// The editor of a shared text, in a bundle of its own that is fetched when somebody first edits. It stands in a shadow
// root, where its styles are adopted sheets: the content security policy lets no script add style elements.
import { defaultKeymap } from '@codemirror/commands';
import { Compartment, EditorState } from '@codemirror/state';
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view';
import { yCollab, yUndoManagerKeymap } from 'y-codemirror.next';
import { carets } from './carets';
import type { Together } from './together.svelte';

const theme = EditorView.theme({
  '&': { backgroundColor: 'var(--bg)', color: 'var(--text)', fontSize: '12.5px', minHeight: '320px' },
  '&.cm-focused': { outline: '2px solid var(--focus, var(--accent))', outlineOffset: '-2px' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '20px' },
  // The names of the others stand above their lines.
  '.cm-content': { caretColor: 'var(--text)', padding: '18px 0 6px' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '.cm-gutters': { backgroundColor: 'var(--bg)', color: 'var(--text-soft)', border: 'none' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'var(--bg-hover)' },
});

export type SharedEditor = { changeable: (yes: boolean) => void; focus: () => void; close: () => void };

export type OpenEditor = typeof openEditor;

export function openEditor(host: HTMLElement, together: Together, label: string): SharedEditor {
  const root = host.shadowRoot ?? host.attachShadow({ mode: 'open' });
  const rights = new Compartment();
  const may = (yes: boolean) => [EditorState.readOnly.of(!yes), EditorView.editable.of(yes)];
  const save = () => {
    together.save();
    return true;
  };
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: together.text.toString(),
      extensions: [
        // A line ends with LF and with nothing else, as in the shared text.
        EditorState.lineSeparator.of('\n'),
        EditorState.tabSize.of(4),
        lineNumbers(),
        highlightActiveLine(),
        drawSelection(),
        keymap.of([
          { key: 'Mod-s', run: save, preventDefault: true },
          ...yUndoManagerKeymap,
          ...defaultKeymap,
        ]),
        EditorView.contentAttributes.of({ 'aria-label': label }),
        rights.of(may(together.mayChange)),
        yCollab(together.text, null),
        carets(together),
        theme,
      ],
    }),
  });
  return {
    changeable: (yes) => view.dispatch({ effects: rights.reconfigure(may(yes)) }),
    focus: () => view.focus(),
    close: () => view.destroy(),
  };
}
