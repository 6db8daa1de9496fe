// A file's text that several people edit at once: a Yjs document, kept in step with the server over a WebSocket. While
// the connection is away, typing goes on; what was typed is merged when it is back.
import * as decoding from 'lib0/decoding';
import * as encoding from 'lib0/encoding';
import {
  Awareness,
  applyAwarenessUpdate,
  encodeAwarenessUpdate,
  removeAwarenessStates,
} from 'y-protocols/awareness';
import { readSyncMessage, writeSyncStep1, writeUpdate } from 'y-protocols/sync';
import * as Y from 'yjs';
import { errorOf } from './api/problem';

const SYNC = 0;
const AWARENESS = 1;
const STEP_1 = 0;
const STEP_2 = 1;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15000;
/** What is typed within this time is sent as one change. */
const GATHER_MS = 60;
/** How long an answer to a change may take before the connection counts as lost. */
const ANSWER_MS = 20_000;
/** The most bytes of one message. */
const MAX_MESSAGE = 1 << 20;
/** Ends after which it is of use to try again. */
const PASSING = new Set([
  'stopping',
  'database_busy',
  'commit_unknown',
  'connection_lost',
  'moved',
  'read_anew',
]);
/** Colours of the others' cursors: dark enough for white names upon them. */
const COLOURS = ['#9a3412', '#166534', '#1e40af', '#86198f', '#115e59', '#9f1239', '#3730a3', '#854d0e'];

export type Person = { client: number; name: string; colour: string; mayChange: boolean };

/** What the server says beside the protocol. */
type Said =
  | { type: 'hello'; epoch: number; name: string; may_change: boolean; version: number; unsaved: boolean }
  | { type: 'kept'; changes: number }
  | { type: 'file'; version: number; by: string; unsaved: boolean }
  | { type: 'rights'; may_change: boolean }
  | { type: 'saved'; version: number }
  | { type: 'not_saved' | 'ended'; code: string; message: string };

export class Together {
  readonly doc = new Y.Doc();
  readonly text = this.doc.getText('content');
  readonly awareness = new Awareness(this.doc);
  readonly colour = COLOURS[this.doc.clientID % COLOURS.length] ?? '#1e40af';

  /** Whether the text has arrived. */
  ready = $state(false);
  connection = $state<'connecting' | 'live' | 'away' | 'ended'>('connecting');
  mayChange = $state(false);
  version = $state(0);
  /** Whether there is text that no version of the file has. */
  unsaved = $state(false);
  /** Changes that the server has not yet said it keeps. */
  waiting = $state(0);
  /** Why it ended. */
  reason = $state('');
  /** Why the text could not be saved as a version. */
  unsavedBecause = $state('');
  people = $state.raw<Person[]>([]);

  #socket: WebSocket | null = null;
  #epoch: number | null = null;
  #sent = 0;
  /** Whether the server asked for what it lacks: what is typed before is part of the answer. */
  #asked = false;
  /** Whether there was unsaved text when the connection began. */
  #unsavedAtFirst = false;
  #pause = FIRST_PAUSE_MS;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Changes that are sent next. */
  #gathered: Uint8Array[] = [];
  #gathering: ReturnType<typeof setTimeout> | undefined;
  #presenceTimer: ReturnType<typeof setTimeout> | undefined;
  #answer: ReturnType<typeof setTimeout> | undefined;
  readonly #offline = () => this.#drop();

  constructor(
    private readonly fileId: number,
    private readonly onSaved: (version: number) => void,
  ) {
    this.doc.on('update', (update: Uint8Array, origin: unknown) => this.#changed(update, origin));
    this.awareness.on(
      'update',
      (change: Record<'added' | 'updated' | 'removed', number[]>, origin: unknown) => {
        this.#seen();
        const clients = [...change.added, ...change.updated, ...change.removed];
        if (origin !== this && clients.includes(this.doc.clientID)) this.#tellPresenceSoon();
      },
    );
    this.awareness.setLocalStateField('user', { color: this.colour, colorLight: `${this.colour}33` });
    addEventListener('offline', this.#offline);
    this.#open();
  }

  save(): void {
    if (this.connection === 'live') {
      this.#sendGathered();
      this.#socket?.send(JSON.stringify({ type: 'save' }));
    } else {
      this.unsavedBecause = 'The connection is away. What you typed is sent when it is back; save then.';
    }
  }

  close(): void {
    if (this.connection === 'live') this.#sendGathered();
    removeEventListener('offline', this.#offline);
    this.#rest();
    this.connection = 'ended';
    this.#socket?.close();
    this.awareness.destroy();
    this.doc.destroy();
  }

  get #address(): string {
    const since = this.#epoch === null ? '' : `?epoch=${this.#epoch}`;
    return `/api/files/${this.fileId}/together${since}`;
  }

  #open(): void {
    const socket = new WebSocket(this.#address.replace(/^/, location.origin.replace(/^http/, 'ws')));
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (typeof data === 'string') this.#hear(JSON.parse(data) as Said);
      else this.#receive(new Uint8Array(data));
    };
    socket.onclose = () => void this.#lost(socket);
  }

  #hear(said: Said): void {
    switch (said.type) {
      case 'hello':
        this.#begin(said);
        break;
      case 'kept':
        this.waiting = Math.max(0, this.#sent - said.changes) + (this.#gathered.length > 0 ? 1 : 0);
        this.#expectAnswer();
        break;
      case 'file':
        this.version = said.version;
        this.unsaved = said.unsaved;
        if (!said.unsaved) this.unsavedBecause = '';
        break;
      case 'rights':
        this.mayChange = said.may_change;
        break;
      case 'saved':
        this.version = said.version;
        this.unsavedBecause = '';
        this.onSaved(said.version);
        break;
      case 'not_saved':
        this.unsavedBecause = said.message;
        break;
      case 'ended':
        // A server that stops, or has too much to do, comes back.
        if (!PASSING.has(said.code)) this.#end(said.message);
    }
  }

  #begin(hello: Extract<Said, { type: 'hello' }>): void {
    if (this.waiting > 0 && !hello.may_change) {
      this.#end('You may no longer change this file. What you typed since is not kept; copy what you need.');
      return;
    }
    this.#epoch = hello.epoch;
    this.#unsavedAtFirst = hello.unsaved || this.waiting > 0;
    this.#sent = 0;
    this.waiting = 0;
    this.#pause = FIRST_PAUSE_MS;
    this.connection = 'live';
    this.mayChange = hello.may_change;
    this.version = hello.version;
    const encoder = encoding.createEncoder();
    encoding.writeVarUint(encoder, SYNC);
    writeSyncStep1(encoder, this.doc);
    this.#socket?.send(encoding.toUint8Array(encoder));
    // With the next clock, for the others were told that this page is away.
    this.awareness.setLocalState(this.awareness.getLocalState());
  }

  #receive(bytes: Uint8Array): void {
    const decoder = decoding.createDecoder(bytes);
    const kind = decoding.readVarUint(decoder);
    if (kind === AWARENESS) {
      applyAwarenessUpdate(this.awareness, decoding.readVarUint8Array(decoder), this);
    } else if (kind === SYNC) {
      const reply = encoding.createEncoder();
      encoding.writeVarUint(reply, SYNC);
      const step = readSyncMessage(decoder, reply, this.doc, this);
      if (step === STEP_2) {
        this.ready = true;
        this.unsaved = this.#unsavedAtFirst;
      }
      if (encoding.length(reply) > 1) this.#sendChange(reply);
      if (step === STEP_1) this.#asked = true;
    }
  }

  #changed(update: Uint8Array, origin: unknown): void {
    this.unsaved = true;
    if (origin === this) return;
    this.waiting = Math.max(1, this.waiting);
    // While the connection is away, the document itself remembers what is to be sent.
    if (this.connection !== 'live' || !this.#asked) return;
    this.#gathered.push(update);
    this.#gathering ??= setTimeout(() => this.#sendGathered(), GATHER_MS);
  }

  #sendGathered(): void {
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    const gathered = this.#gathered.splice(0);
    if (gathered.length === 0) return;
    const encoder = encoding.createEncoder();
    encoding.writeVarUint(encoder, SYNC);
    writeUpdate(encoder, Y.mergeUpdates(gathered));
    this.#sendChange(encoder);
  }

  #sendChange(encoder: encoding.Encoder): void {
    if (encoding.length(encoder) > MAX_MESSAGE) {
      this.#socket?.close();
      this.#end(
        'More was changed at once than can be sent, 1 MiB. Copy the text and upload it as a new version.',
      );
      return;
    }
    this.#sent += 1;
    this.waiting = Math.max(1, this.waiting);
    this.#socket?.send(encoding.toUint8Array(encoder));
    if (this.#answer === undefined) this.#expectAnswer();
  }

  /** Waits for the server's answer to the changes that were sent. */
  #expectAnswer(): void {
    clearTimeout(this.#answer);
    this.#answer = this.waiting > 0 ? setTimeout(() => this.#drop(), ANSWER_MS) : undefined;
  }

  #tellPresenceSoon(): void {
    this.#presenceTimer ??= setTimeout(() => this.#tellPresence(), GATHER_MS);
  }

  #tellPresence(): void {
    this.#presenceTimer = undefined;
    if (this.connection !== 'live') return;
    // A cursor is shown in text that the others have.
    this.#sendGathered();
    const encoder = encoding.createEncoder();
    encoding.writeVarUint(encoder, AWARENESS);
    encoding.writeVarUint8Array(encoder, encodeAwarenessUpdate(this.awareness, [this.doc.clientID]));
    this.#socket?.send(encoding.toUint8Array(encoder));
  }

  #seen(): void {
    const people: Person[] = [];
    for (const [client, state] of this.awareness.getStates()) {
      const user = state.user as { name?: string; color?: string } | undefined;
      if (client === this.doc.clientID || !user?.name) continue;
      const mayChange = state.may_change === true;
      people.push({ client, name: user.name, colour: user.color ?? '#555555', mayChange });
    }
    this.people = people.toSorted((a, b) => a.name.localeCompare(b.name));
  }

  #end(reason: string): void {
    this.#rest();
    this.connection = 'ended';
    this.mayChange = false;
    this.reason = reason;
    this.#forgetOthers();
  }

  /** Ends what was to be done later. */
  #rest(): void {
    for (const timer of [this.#timer, this.#gathering, this.#presenceTimer, this.#answer])
      clearTimeout(timer);
    this.#gathering = this.#presenceTimer = this.#answer = undefined;
    this.#gathered = [];
  }

  /** Gives up a connection over which nothing comes any more; a browser may take minutes to notice. */
  #drop(): void {
    const socket = this.#socket;
    if (!socket) return;
    socket.close();
    void this.#lost(socket);
  }

  #forgetOthers(): void {
    const others = [...this.awareness.getStates().keys()].filter((client) => client !== this.doc.clientID);
    removeAwarenessStates(this.awareness, others, this);
    // Who is still there when the connection is back says the same again, with the same clock.
    for (const client of others) this.awareness.meta.delete(client);
  }

  async #lost(socket: WebSocket): Promise<void> {
    if (this.connection === 'ended' || socket !== this.#socket) return;
    const opened = this.connection === 'live';
    this.#socket = null;
    this.#asked = false;
    this.#rest();
    this.connection = 'away';
    this.#forgetOthers();
    // A browser does not say why a WebSocket was refused; the same address without one does.
    if (!opened) {
      const refused = await this.#refusal();
      if (refused) return this.#end(refused);
      if ((this.connection as string) === 'ended') return;
    }
    this.#timer = setTimeout(() => this.#open(), this.#pause);
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
  }

  /** Why it is of no use to try again; null: it may be. */
  async #refusal(): Promise<string | null> {
    try {
      const response = await fetch(this.#address);
      const error = errorOf(response, await response.json());
      const again = error.status >= 500 || error.status === 429 || error.code === 'not_a_websocket';
      return again ? null : error.message;
    } catch {
      return null;
    }
  }
}
