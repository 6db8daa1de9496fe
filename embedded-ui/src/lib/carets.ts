// The others' cursors and selections in the editor, with their names. Colours are set as properties and not as style
// attributes, which the content security policy does not allow.
import { RangeSetBuilder, type Extension, StateEffect } from '@codemirror/state';
import {
  Decoration,
  type DecorationSet,
  EditorView,
  ViewPlugin,
  type ViewUpdate,
  WidgetType,
} from '@codemirror/view';
import * as Y from 'yjs';
import type { Together } from './together.svelte';

const moved = StateEffect.define<null>();

type Cursor = { anchor: unknown; head: unknown };

class Caret extends WidgetType {
  constructor(
    readonly name: string,
    readonly colour: string,
  ) {
    super();
  }

  override eq(other: Caret): boolean {
    return other.name === this.name && other.colour === this.colour;
  }

  override toDOM(): HTMLElement {
    const caret = document.createElement('span');
    caret.className = 'cm-other';
    caret.setAttribute('aria-hidden', 'true');
    caret.style.setProperty('--other', this.colour);
    // Shown by its style, so that it is no part of the text.
    caret.dataset['name'] = this.name;
    return caret;
  }

  override ignoreEvent(): boolean {
    return true;
  }
}

class Carets {
  decorations: DecorationSet = Decoration.none;
  readonly #listen: (change: Record<'added' | 'updated' | 'removed', number[]>) => void;

  constructor(
    readonly view: EditorView,
    readonly together: Together,
  ) {
    this.#listen = ({ added, updated, removed }) => {
      const own = together.doc.clientID;
      if ([...added, ...updated, ...removed].some((client) => client !== own)) {
        view.dispatch({ effects: moved.of(null) });
      }
    };
    together.awareness.on('change', this.#listen);
    this.decorations = this.#others();
  }

  update(update: ViewUpdate): void {
    if (update.selectionSet || update.docChanged || update.focusChanged) this.#tell(update.view);
    this.decorations = this.#others();
  }

  destroy(): void {
    this.together.awareness.off('change', this.#listen);
  }

  #tell(view: EditorView): void {
    const { awareness, text } = this.together;
    const place = (at: number) => JSON.stringify(Y.createRelativePositionFromTypeIndex(text, at));
    const { anchor, head } = view.state.selection.main;
    const cursor = view.hasFocus ? { anchor: place(anchor), head: place(head) } : null;
    const before = awareness.getLocalState()?.cursor as Cursor | null | undefined;
    if (cursor?.anchor === before?.anchor && cursor?.head === before?.head) return;
    awareness.setLocalStateField('cursor', cursor);
  }

  #at(place: unknown): number | null {
    if (typeof place !== 'string') return null;
    try {
      const relative = Y.createRelativePositionFromJSON(JSON.parse(place));
      const found = Y.createAbsolutePositionFromRelativePosition(relative, this.together.doc);
      return found?.type === this.together.text ? Math.min(found.index, this.view.state.doc.length) : null;
    } catch {
      // It is what somebody's page says, whatever that is.
      return null;
    }
  }

  #others(): DecorationSet {
    const marks: { from: number; to: number; mark: Decoration }[] = [];
    const states = this.together.awareness.getStates();
    for (const { client, name, colour } of this.together.people) {
      const cursor = states.get(client)?.cursor as Cursor | null | undefined;
      const [anchor, head] = [this.#at(cursor?.anchor), this.#at(cursor?.head)];
      if (anchor === null || head === null) continue;
      const [from, to] = [Math.min(anchor, head), Math.max(anchor, head)];
      if (from < to) {
        const attributes = { style: `background-color: ${colour}33` };
        marks.push({ from, to, mark: Decoration.mark({ attributes }) });
      }
      const widget = new Caret(name, colour);
      marks.push({ from: head, to: head, mark: Decoration.widget({ widget, side: head === from ? -1 : 1 }) });
    }
    marks.sort((a, b) => a.from - b.from || a.mark.startSide - b.mark.startSide);
    const builder = new RangeSetBuilder<Decoration>();
    for (const { from, to, mark } of marks) builder.add(from, to, mark);
    return builder.finish();
  }
}

const theme = EditorView.baseTheme({
  '.cm-other': {
    position: 'relative',
    borderLeft: '2px solid var(--other)',
    marginLeft: '-1px',
    marginRight: '-1px',
  },
  '.cm-other::after': {
    content: 'attr(data-name)',
    position: 'absolute',
    bottom: '100%',
    left: '-2px',
    padding: '0 4px',
    borderRadius: '3px 3px 3px 0',
    background: 'var(--other)',
    color: '#ffffff',
    fontSize: '11px',
    lineHeight: '14px',
    whiteSpace: 'nowrap',
    pointerEvents: 'none',
    zIndex: '10',
  },
});

export function carets(together: Together): Extension {
  return [
    theme,
    ViewPlugin.define((view) => new Carets(view, together), { decorations: (value) => value.decorations }),
  ];
}
