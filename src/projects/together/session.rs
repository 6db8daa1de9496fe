//! One editor: the Yjs sync protocol over a WebSocket, with control messages as JSON text beside it.
//!
//! Invariant: who may not write changes nothing, who may not read hears nothing more as soon as that is so; names are
//! those of the accounts, whatever a page says.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use yrs::sync::{AwarenessUpdate, Message as Sync, MessageReader, SyncMessage};
use yrs::updates::decoder::DecoderV1;
use yrs::updates::encoder::Encode;

use super::live::{Live, Standing, control, ended};
use super::{BURST, Editor, IDLE, PACE, SILENCE, Together};
use crate::access::actions::{ProjectRead, ProjectUpdate};
use crate::access::{Caller, Permit};
use crate::accounts::{Watch, counts_no_more};
use crate::base::error::{Error, Kind, Result};
use crate::projects::files::store as files;

/// The most bytes that tell where somebody is.
const MAX_PRESENCE: usize = 4096;
/// So many bytes are one message to the pace.
const ONE: usize = 16 << 10;
/// How long somebody may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

pub struct Session {
    pub together: Together,
    pub live: Arc<Live>,
    pub permit: Permit<ProjectRead>,
    pub out: mpsc::Receiver<Message>,
    pub seat: Seat,
}

/// What an editor asks for beside the protocol.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Asked {
    /// To make the document a version of the file now.
    Save,
}

pub fn too_fast() -> Error {
    Error::new(Kind::Limited, "too_fast", "Too many changes came at once. Wait a moment, then open the file again.")
}

/// How many messages may still come; a large one counts as many.
struct Pace {
    left: f64,
    at: Instant,
}

impl Pace {
    fn take(&mut self, now: Instant, message: &Message) -> Result<()> {
        let more = now.duration_since(self.at).as_secs_f64() * f64::from(PACE);
        let bytes = match message {
            Message::Binary(bytes) => bytes.len(),
            Message::Text(text) => text.len(),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => 0,
        };
        let cost = 1 + u32::try_from(bytes / ONE).unwrap_or(BURST);
        (self.left, self.at) = ((self.left + more).min(f64::from(BURST)) - f64::from(cost), now);
        if self.left < 0.0 { Err(too_fast()) } else { Ok(()) }
    }
}

/// Who edits, as far as they may.
struct Rights {
    caller: Arc<Caller>,
    write: Option<Permit<ProjectUpdate>>,
}

/// A place in a document, left however a session ends, also when it never begins.
pub struct Seat {
    pub live: Arc<Live>,
    pub peer: u64,
    /// One of those there are in this process.
    pub _of_all: OwnedSemaphorePermit,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.live.leave(self.peer);
    }
}

impl Session {
    /// Goes on until either side ends it.
    pub async fn run(mut self, watch: Watch, mut socket: WebSocket) {
        let why = match self.go(watch, &mut socket).await {
            Ok(()) => return,
            Err(why) => why,
        };
        let goodbye = async {
            socket.send(ended(&why)).await?;
            // 1008: a policy; 1013: try again later (RFC 6455, section 7.4.1, and its registry).
            let code = if why.kind() == Kind::Unavailable { 1013 } else { 1008 };
            socket.send(Message::Close(Some(CloseFrame { code, reason: why.code().into() }))).await
        };
        // Who does not listen any more hears nothing.
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }

    async fn go(&mut self, watch: Watch, socket: &mut WebSocket) -> Result<()> {
        // One future all along: what changes while something else is done must not be missed.
        let change = next(watch);
        tokio::pin!(change);
        let mut rights = self.rights(self.permit.caller_arc().clone()).await?;
        let mut pace = Pace { left: f64::from(BURST), at: Instant::now() };
        send(socket, self.hello(&rights)).await?;
        self.ask(socket, &rights).await?;
        let (mut heard, mut moved) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                biased;
                (watch, changed) = &mut change => {
                    change.set(next(watch));
                    self.changed(socket, &mut rights, changed).await?;
                }
                message = self.out.recv() => match message {
                    Some(message) => send(socket, message).await?,
                    None => return Ok(()),
                },
                message = socket.recv() => {
                    let Some(Ok(message)) = message else { return Ok(()) };
                    heard = Instant::now();
                    pace.take(heard, &message)?;
                    if self.hear(socket, &rights, message).await? {
                        moved = heard;
                    }
                }
                () = tokio::time::sleep_until((heard + SILENCE).min(moved + IDLE)) => {
                    let sentence = "Nothing was typed here for a long time. Open the file again to go on.";
                    return Err(Error::new(Kind::Limited, "idle", sentence));
                }
                () = self.together.tasks.stopping() => {
                    return Err(Error::unavailable("stopping", "The server stops; editing goes on when it is back."));
                }
            }
        }
    }

    /// Asks for what the page has and the document has not; nothing is wanted of who may only look.
    async fn ask(&self, socket: &mut WebSocket, rights: &Rights) -> Result<()> {
        if rights.write.is_some() {
            send(socket, sync(SyncMessage::SyncStep1(self.live.seen()))).await?;
        }
        Ok(())
    }

    fn hello(&self, rights: &Rights) -> Message {
        let Standing { version, by, unsaved } = self.live.standing();
        control(&json!({
            "type": "hello", "epoch": self.live.epoch, "name": rights.caller.actor.name,
            "may_change": rights.write.is_some(), "version": version, "by": by, "unsaved": unsaved,
        }))
    }

    /// What the caller may do with the file now.
    async fn rights(&self, caller: Arc<Caller>) -> Result<Rights> {
        let (read, write) = (caller.permit::<ProjectRead>()?, caller.permit::<ProjectUpdate>().ok());
        let file = self.live.file;
        let (project, _) = self.together.projects.db.read(move |tx| files::find(tx, &read, file)).await?;
        Ok(Rights { caller, write: write.filter(|permit| permit.covers_place(project.place())) })
    }

    async fn changed(
        &self,
        socket: &mut WebSocket,
        rights: &mut Rights,
        changed: Result<Option<Arc<Caller>>>,
    ) -> Result<()> {
        let caller = changed?.ok_or_else(counts_no_more)?;
        let now = self.rights(caller).await?;
        if now.write.is_some() != rights.write.is_some() {
            send(socket, control(&json!({"type": "rights", "may_change": now.write.is_some()}))).await?;
            self.ask(socket, &now).await?;
        }
        *rights = now;
        Ok(())
    }

    /// Does what a message asks for; whether somebody did something, and not only their page.
    async fn hear(&self, socket: &mut WebSocket, rights: &Rights, message: Message) -> Result<bool> {
        match message {
            Message::Binary(bytes) => {
                let mut moved = false;
                for message in read(&bytes)? {
                    moved |= self.obey(socket, rights, message).await?;
                }
                Ok(moved)
            }
            Message::Text(text) => {
                let Asked::Save = serde_json::from_str(text.as_str()).map_err(|_| garbled())?;
                let answer = match self.save(rights).await {
                    Ok(version) => json!({"type": "saved", "version": version}),
                    Err(error) => json!({"type": "not_saved", "code": error.code(), "message": error.message()}),
                };
                self.live.wake();
                send(socket, control(&answer)).await?;
                Ok(true)
            }
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(false),
        }
    }

    async fn save(&self, rights: &Rights) -> Result<i64> {
        let permit = rights.write.clone().ok_or_else(read_only)?;
        self.together.flush(&self.live).await?;
        Ok(self.together.save(permit, self.live.file).await?.version)
    }

    async fn obey(&self, socket: &mut WebSocket, rights: &Rights, message: Sync) -> Result<bool> {
        match message {
            Sync::Sync(SyncMessage::SyncStep1(seen)) => {
                send(socket, sync(SyncMessage::SyncStep2(self.live.missing(&seen)))).await?;
                Ok(false)
            }
            Sync::Sync(message @ (SyncMessage::SyncStep2(_) | SyncMessage::Update(_))) => {
                if rights.write.is_none() {
                    return Err(read_only());
                }
                self.live.offer(self.seat.peer, message, Editor::of(&rights.caller))?;
                Ok(true)
            }
            Sync::Awareness(update) => Ok(self.place(rights, update)),
            Sync::AwarenessQuery | Sync::Auth(_) | Sync::Custom(..) => Ok(false),
        }
    }

    /// Shows the others where somebody is: by the name of the account, with nothing else that their page says.
    /// Whether they moved.
    fn place(&self, rights: &Rights, update: AwarenessUpdate) -> bool {
        let Some((client, entry)) = update.clients.into_iter().next() else { return false };
        let said: Value = match serde_json::from_str(&entry.json) {
            Ok(said) if entry.json.len() <= MAX_PRESENCE => said,
            _ => return false,
        };
        let colour = |name: &str| said["user"][name].as_str().filter(|text| is_colour(text)).map(str::to_owned);
        let shown = said.is_object().then(|| {
            let user = json!({
                "name": rights.caller.actor.name, "color": colour("color"), "colorLight": colour("colorLight"),
            });
            json!({"user": user, "cursor": said["cursor"], "may_change": rights.write.is_some()}).to_string()
        });
        self.live.present(self.seat.peer, client, entry.clock, shown)
    }
}

fn read(bytes: &[u8]) -> Result<Vec<Sync>> {
    MessageReader::new(&mut DecoderV1::from(bytes)).collect::<std::result::Result<_, _>>().map_err(|_| garbled())
}

/// `#` and six or eight hexadecimal digits.
fn is_colour(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or_default();
    matches!(digits.len(), 6 | 8) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn sync(message: SyncMessage) -> Message {
    Message::Binary(Sync::Sync(message).encode_v1().into())
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<()> {
    let lost = |cause| Error::unavailable("connection_lost", "The connection was lost.").caused_by(cause);
    socket.send(message).await.map_err(lost)
}

async fn next(mut watch: Watch) -> (Watch, Result<Option<Arc<Caller>>>) {
    let changed = watch.changed().await;
    (watch, changed)
}

fn garbled() -> Error {
    Error::invalid("garbled", "A message is none of the Yjs sync protocol and no control message. Open the file again.")
}

fn read_only() -> Error {
    Error::forbidden("read_only", "You may read this file and no longer change it; what was typed since is not kept.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_a_colour() {
        assert!(is_colour("#30bced") && is_colour("#30bced33"));
        assert!(!is_colour("#30bce") && !is_colour("30bced00") && !is_colour("#30bced;x") && !is_colour("url(x)"));
    }

    #[test]
    fn a_page_may_send_much_at_once_but_not_for_ever() {
        let began = Instant::now();
        let mut pace = Pace { left: f64::from(BURST), at: began };
        let (small, large) = (Message::Text("x".into()), Message::Binary(vec![0; ONE * 10].into()));
        for _ in 0..BURST {
            assert!(pace.take(began, &small).is_ok());
        }
        assert_eq!(pace.take(began, &small).map_err(|error| error.code()), Err("too_fast"));
        assert!(pace.take(began + Duration::from_secs(1), &large).is_ok());
        assert!(Pace { left: 10.0, at: began }.take(began, &large).is_err());
    }
}
