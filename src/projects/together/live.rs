//! A document that is open here: who is there, what they type, and the loop that keeps it.
//!
//! Invariant: a change reaches the others at once and its author hears that it is kept after the commit, never before.
//! Nobody who reads slowly makes others wait: they are let go and come back. When the file's project goes to another team,
//! everybody is let go, to come back by the rights there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::ws::Message;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use yrs::StateVector;
use yrs::block::ClientID;
use yrs::sync::awareness::AwarenessUpdateEntry;
use yrs::sync::{AwarenessUpdate, Message as Sync, SyncMessage};
use yrs::updates::encoder::Encode;

use super::draft::Draft;
use super::store::{self, Kept};
use super::{BATCH, COMPACT_AFTER, Editor, LOOK, MAX_PEOPLE, MAX_WAITING, SAVE_AFTER, Together, frames, save};
use crate::access::Place;
use crate::base::error::{Error, Kind, Result};
use crate::jobs;
use crate::projects::files::{MAX_SIZE, store as files};

/// The most bytes of changes that wait for their commit, and that are kept as single ones.
const MAX_PENDING: usize = MAX_SIZE;
const MAX_SINGLE: usize = MAX_SIZE;

pub struct Live {
    pub file: i64,
    pub epoch: i64,
    /// Where its project belongs.
    home: Place,
    state: Mutex<State>,
    wake: Notify,
    /// Held by who commits, so that changes are committed in their order.
    keeping: tokio::sync::Mutex<()>,
}

struct State {
    draft: Draft,
    /// The newest change in the table that is part of `draft`.
    seen: i64,
    /// Since when single changes are kept, and how many bytes they have.
    compacted: i64,
    single: usize,
    standing: Standing,
    peers: HashMap<u64, Peer>,
    joined: u64,
    pending: Vec<Change>,
    present: HashMap<ClientID, Present>,
    /// The database as it was at the last look.
    looked: Option<u64>,
    ended: bool,
}

/// How the document stands to its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The version it holds, or stands upon.
    pub version: i64,
    /// Who wrote that.
    pub by: String,
    /// Whether it holds changes that no version has.
    pub unsaved: bool,
}

struct Peer {
    out: mpsc::Sender<Message>,
    kept: u64,
}

/// A change that waits for its commit.
struct Change {
    peer: u64,
    /// None: it changes nothing, and is answered for all the same, so that its author can count.
    update: Option<Vec<u8>>,
    editor: Editor,
}

struct Present {
    peer: u64,
    entry: AwarenessUpdateEntry,
}

fn update(bytes: Vec<u8>) -> Message {
    Message::Binary(Sync::Sync(SyncMessage::Update(bytes)).encode_v1().into())
}

fn presence(clients: impl IntoIterator<Item = (ClientID, AwarenessUpdateEntry)>) -> Message {
    Message::Binary(Sync::Awareness(AwarenessUpdate { clients: clients.into_iter().collect() }).encode_v1().into())
}

/// A control message, as JSON text.
pub fn control(value: &Value) -> Message {
    Message::Text(value.to_string().into())
}

pub fn ended(error: &Error) -> Message {
    control(&json!({"type": "ended", "code": error.code(), "message": error.message()}))
}

pub fn gone() -> Error {
    Error::not_found("file")
}

impl State {
    fn send_to(&mut self, others_than: Option<u64>, message: &Message) {
        // Who has too much waiting is let go.
        self.peers.retain(|id, peer| Some(*id) == others_than || peer.out.try_send(message.clone()).is_ok());
    }

    fn absent(&mut self, peer: u64) {
        let left: Vec<_> = self.present.extract_if(|_, present| present.peer == peer).collect();
        // With the clock as it was: a page that comes back counts on from there.
        let null = |clock| AwarenessUpdateEntry { clock, json: "null".into() };
        let left: Vec<_> = left.into_iter().map(|(client, present)| (client, null(present.entry.clock))).collect();
        if !left.is_empty() {
            self.send_to(Some(peer), &presence(left));
        }
    }
}

impl Live {
    fn new((file, home): (i64, Place), kept: &Kept, draft: Draft, by: String) -> Self {
        let standing = Standing { version: kept.base_version, by, unsaved: kept.seq != kept.saved_seq };
        let state = State {
            draft,
            seen: kept.seq,
            compacted: kept.state_seq,
            single: 0,
            standing,
            peers: HashMap::new(),
            joined: 0,
            pending: Vec::new(),
            present: HashMap::new(),
            looked: None,
            ended: false,
        };
        Self {
            file,
            epoch: kept.epoch,
            home,
            state: Mutex::new(state),
            wake: Notify::new(),
            keeping: tokio::sync::Mutex::default(),
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Somebody more; what they are called and what is for them. None: it has ended, open it again.
    ///
    /// # Errors
    /// `too_many_people`.
    pub fn join(&self) -> Result<Option<(u64, mpsc::Receiver<Message>)>> {
        self.with(|state| {
            if state.ended {
                return Ok(None);
            }
            if state.peers.len() >= MAX_PEOPLE {
                let sentence = format!("{MAX_PEOPLE} people edit this file already, the most at a time.");
                return Err(Error::new(Kind::Limited, "too_many_people", sentence));
            }
            let (out, waiting) = mpsc::channel(MAX_WAITING);
            state.joined += 1;
            if !state.present.is_empty() {
                let all = state.present.iter().map(|(client, present)| (*client, present.entry.clone()));
                // The channel is empty.
                out.try_send(presence(all)).ok();
            }
            state.peers.insert(state.joined, Peer { out, kept: 0 });
            Ok(Some((state.joined, waiting)))
        })
    }

    pub fn leave(&self, peer: u64) {
        self.with(|state| {
            state.peers.remove(&peer);
            state.absent(peer);
        });
        self.wake();
    }

    /// Has the loop look at once.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub fn standing(&self) -> Standing {
        self.with(|state| state.standing.clone())
    }

    /// What the document has seen; the rest is asked of whoever comes.
    pub fn seen(&self) -> StateVector {
        self.with(|state| state.draft.seen())
    }

    pub fn missing(&self, seen: &StateVector) -> Vec<u8> {
        self.with(|state| state.draft.missing(seen))
    }

    /// Takes a change, shows it to the others, and has it kept.
    ///
    /// # Errors
    /// Those of [`Draft::offer`]; `too_fast` when too much waits for its commit.
    pub fn offer(&self, peer: u64, message: SyncMessage, editor: Editor) -> Result<()> {
        let (bytes, again) = match message {
            SyncMessage::Update(bytes) => (bytes, false),
            SyncMessage::SyncStep2(bytes) => (bytes, true),
            SyncMessage::SyncStep1(_) => return Ok(()),
        };
        let offered = self.with(|state| {
            let waiting: usize = state.pending.iter().filter_map(|change| change.update.as_ref()).map(Vec::len).sum();
            if waiting.saturating_add(bytes.len()) > MAX_PENDING {
                return Err(super::session::too_fast());
            }
            let changed = state.draft.offer(&bytes, again)?;
            state.single += bytes.len();
            if changed {
                state.send_to(Some(peer), &update(bytes.clone()));
                state.standing.unsaved = true;
            }
            state.pending.push(Change { peer, update: changed.then_some(bytes), editor });
            Ok(())
        });
        if self.with(|state| state.draft.is_spoiled()) {
            let sentence =
                "The shared text could not take a change of somebody's. It is read anew; what was kept is there.";
            self.end(&Error::unavailable("read_anew", sentence));
        }
        self.wake();
        offered
    }

    /// Where somebody is; `json` is what the others are shown, None when they look elsewhere.
    /// Whether that is another place than before.
    pub fn present(&self, peer: u64, client: ClientID, clock: u32, json: Option<String>) -> bool {
        self.with(|state| {
            let known = state.present.get(&client);
            if known.is_some_and(|known| known.peer != peer) {
                return false;
            }
            let moved = known.map(|known| &*known.entry.json) != json.as_deref();
            let Some(json) = json else {
                state.absent(peer);
                return moved;
            };
            // One of a page: another one takes its place.
            if !state.present.contains_key(&client) {
                state.absent(peer);
            }
            let entry = AwarenessUpdateEntry { clock, json: json.into() };
            state.present.insert(client, Present { peer, entry: entry.clone() });
            state.send_to(Some(peer), &presence([(client, entry)]));
            moved
        })
    }

    pub fn tell(&self, value: &Value) {
        self.with(|state| state.send_to(None, &control(value)));
    }

    /// Tells everybody why, and lets them go.
    pub fn end(&self, why: &Error) {
        self.with(|state| {
            state.ended = true;
            state.send_to(None, &ended(why));
            state.peers.clear();
        });
    }

    fn is_left(&self) -> bool {
        self.with(|state| state.peers.is_empty() && state.pending.is_empty())
    }

    /// Ends it when still nobody is there.
    fn end_if_left(&self) -> bool {
        self.with(|state| {
            state.ended |= state.peers.is_empty() && state.pending.is_empty();
            state.ended
        })
    }

    /// Answers for changes that are kept as number `seq`.
    fn kept(&self, batch: &[Change], seq: i64) {
        self.with(|state| {
            if seq == state.seen + 1 {
                state.seen = seq;
            }
            let mut counts: HashMap<u64, u64> = HashMap::new();
            for change in batch {
                *counts.entry(change.peer).or_default() += 1;
            }
            for (id, count) in counts {
                let Some(peer) = state.peers.get_mut(&id) else { continue };
                peer.kept += count;
                if peer.out.try_send(control(&json!({"type": "kept", "changes": peer.kept}))).is_err() {
                    state.peers.remove(&id);
                }
            }
        });
    }
}

impl Together {
    /// Reads a document, or begins it with the file's latest version.
    pub(super) async fn load(&self, file: i64) -> Result<Live> {
        let found = self.projects.db.read(move |tx| {
            let row = files::by_id(tx, file)?.ok_or_else(gone)?;
            Ok((store::load(tx, file)?, row, store::home(tx, file)?.ok_or_else(gone)?))
        });
        let (kept, row, home) = found.await?;
        let (kept, updates) = match kept {
            Some(kept) => kept,
            None => self.begin(file, row.version, &row.sha256).await?,
        };
        let draft = Draft::load(&kept.state, updates.iter().map(Vec::as_slice))?;
        Ok(Live::new((file, home), &kept, draft, row.updated_by))
    }

    async fn begin(&self, file: i64, version: i64, sha256: &str) -> Result<(Kept, Vec<Vec<u8>>)> {
        let content = self.projects.content(sha256).await?;
        let (text, crlf) = save::lines(save::text(&content)?);
        let (state, now) = (Draft::seed(&text).state(), self.projects.clock.now());
        let begun = self.projects.db.write(move |tx| {
            let kept = Kept {
                epoch: tx.next_id()?,
                crlf,
                base_version: version,
                base_state: state.clone(),
                state: state.clone(),
                state_seq: 0,
                seq: 0,
                saved_seq: 0,
            };
            files::by_id(tx, file)?.ok_or_else(gone)?;
            store::begin(tx, now, file, &kept)?;
            // Another server's, if it was faster.
            store::load(tx, file)?.ok_or_else(gone)
        });
        begun.await
    }

    /// Keeps a document for as long as somebody has it open.
    pub(super) async fn keep(self, live: Arc<Live>) {
        loop {
            tokio::select! {
                () = self.tasks.stopping() => {
                    self.flush(&live).await.unwrap_or_else(|error| warn(&live, &error));
                    live.end(&Error::unavailable("stopping", "The server stops; what was typed is kept. Editing goes on when it is back."));
                    return;
                }
                () = live.wake.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            match self.step(&live).await {
                Ok(()) => {}
                Err(error) if matches!(error.code(), "not_found" | "renewed" | "not_text" | "moved") => {
                    live.end(&error);
                }
                Err(error) => warn(&live, &error),
            }
            if live.is_left() {
                self.save_by_editors(live.file).await.unwrap_or_else(|error| warn(&live, &error));
            }
            if live.end_if_left() {
                return self.closed(&live);
            }
            // What is typed meanwhile shares a commit.
            tokio::time::sleep(BATCH).await;
        }
    }

    async fn step(&self, live: &Arc<Live>) -> Result<()> {
        self.flush(live).await?;
        self.look(live).await?;
        let (count, bytes) = live.with(|state| (state.seen - state.compacted, state.single));
        if count >= COMPACT_AFTER || bytes >= MAX_SINGLE {
            self.compact(live).await?;
        }
        Ok(())
    }

    /// Commits what waits.
    ///
    /// # Errors
    /// `renewed` when the document was begun anew; when the database fails, and then it still waits.
    pub(super) async fn flush(&self, live: &Live) -> Result<()> {
        let _turn = live.keeping.lock().await;
        let batch = live.with(|state| std::mem::take(&mut state.pending));
        let changes: Vec<Vec<u8>> = batch.iter().filter_map(|change| change.update.clone()).collect();
        if changes.is_empty() {
            live.kept(&batch, -1);
            return Ok(());
        }
        let mut editors: Vec<Editor> = Vec::new();
        for change in batch.iter().filter(|change| change.update.is_some()) {
            if !editors.contains(&change.editor) {
                editors.push(change.editor.clone());
            }
        }
        let (data, now, file, epoch) = (frames::join(&changes), self.projects.clock.now(), live.file, live.epoch);
        let written = self.projects.db.write(move |tx| {
            let Some((seq, first)) = store::append(tx, now, (file, epoch), &data, &editors)? else { return Ok(None) };
            if first {
                jobs::enqueue_at(tx, now, now.plus(SAVE_AFTER), save::KIND, &save::Payload { file })?;
            }
            Ok(Some(seq))
        });
        match written.await {
            Ok(Some(seq)) => {
                live.kept(&batch, seq);
                Ok(())
            }
            Ok(None) => Err(renewed()),
            Err(error) => {
                live.with(|state| drop(state.pending.splice(0..0, batch)));
                Err(error)
            }
        }
    }

    /// Takes what others did: other servers, those who save, who wrote the file past the document.
    async fn look(&self, live: &Live) -> Result<()> {
        let (version, seen, file) = (self.projects.db.version(), live.with(|state| state.seen), live.file);
        if version.is_some() && version == live.with(|state| state.looked) {
            return Ok(());
        }
        let read = self.projects.db.read(move |tx| Ok((store::home(tx, file)?, store::news(tx, file, seen)?)));
        let (home, news) = read.await?;
        if home.ok_or_else(gone)? != live.home {
            return Err(moved());
        }
        let news = news.filter(|news| news.epoch == live.epoch).ok_or_else(renewed)?;
        let before = live.standing();
        live.with(|state| {
            for change in &news.updates {
                state.draft.take(change)?;
                state.single += change.len();
                state.send_to(None, &update(change.clone()));
            }
            state.seen = state.seen.max(news.until);
            state.looked = version;
            let unsaved = news.seq != news.saved_seq || !state.pending.is_empty();
            state.standing = Standing { version: news.base_version, by: news.by.clone(), unsaved };
            Ok::<_, Error>(())
        })?;
        let standing = live.standing();
        if standing != before {
            let Standing { version, by, unsaved } = &standing;
            live.tell(&json!({"type": "file", "version": version, "by": by, "unsaved": unsaved}));
        }
        if news.version > news.base_version {
            self.rebase(file).await?;
            live.wake();
        }
        Ok(())
    }

    async fn compact(&self, live: &Live) -> Result<()> {
        let file = live.file;
        let Some((kept, updates)) = self.projects.db.read_long(move |tx| Ok(store::load(tx, file)?)).await? else {
            return Ok(());
        };
        let (state, seq) = (Draft::load(&kept.state, updates.iter().map(Vec::as_slice))?.state(), kept.seq);
        self.projects.db.write(move |tx| Ok(store::compact(tx, file, &kept, &state)?)).await?;
        live.with(|state| (state.compacted, state.single) = (seq, 0));
        Ok(())
    }
}

fn warn(live: &Live, error: &Error) {
    tracing::warn!(?error, file = live.file, "a document that is edited together could not be kept; trying again");
}

fn moved() -> Error {
    Error::unavailable("moved", "The project went to another team. The file is opened again, by the rights there.")
}

pub fn renewed() -> Error {
    Error::conflict(
        "renewed",
        "The document was begun anew since. Open the file again; what is not in it yet has to be put in anew.",
    )
}
