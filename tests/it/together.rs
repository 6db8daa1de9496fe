//! Editing a file together: what several type at once, who may, what is kept, what becomes of it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use yrs::sync::{AwarenessUpdate, Message as Sync, MessageReader, SyncMessage};
use yrs::updates::decoder::{Decode, DecoderV1};
use yrs::updates::encoder::Encode;
use yrs::{Doc, GetString, ReadTxn, Text, TextRef, Transact, Update};

use crate::app::App;

const LIMIT: Duration = Duration::from_secs(20);

/// An editor as the page is one.
struct Editor {
    socket: WebSocketStream<TcpStream>,
    doc: Doc,
    text: TextRef,
    /// Control messages, and who else is here.
    heard: Vec<Value>,
    present: Vec<Value>,
    sent: u64,
}

impl Editor {
    async fn open(app: &App, file: i64, token: &str) -> Self {
        Self::try_open(app, file, &[("authorization", format!("Bearer {token}").as_str())]).await.unwrap()
    }

    /// The status where it is no WebSocket.
    async fn try_open(app: &App, file: i64, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let mut request = format!("ws://{}/api/files/{file}/together", app.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(&app.address).await.unwrap();
        let (socket, _) = match tokio_tungstenite::client_async(request, stream).await {
            Ok(opened) => opened,
            Err(Error::Http(answer)) => return Err(answer.status().as_u16()),
            Err(other) => panic!("{other}"),
        };
        let doc = Doc::new();
        let text = doc.get_or_insert_text("content");
        let mut editor = Self { socket, doc, text, heard: Vec::new(), present: Vec::new(), sent: 0 };
        let seen = editor.doc.transact().state_vector();
        editor.send(Sync::Sync(SyncMessage::SyncStep1(seen))).await;
        editor.until("the document", |editor| editor.heard.iter().any(|said| said["type"] == "synced")).await;
        Ok(editor)
    }

    async fn send(&mut self, message: Sync) {
        self.socket.send(Message::Binary(message.encode_v1().into())).await.unwrap();
    }

    fn text(&self) -> String {
        self.text.get_string(&self.doc.transact())
    }

    async fn write(&mut self, at: u32, text: &str) {
        let update = {
            let mut tx = self.doc.transact_mut();
            self.text.insert(&mut tx, at, text);
            tx.encode_update_v1()
        };
        self.sent += 1;
        self.send(Sync::Sync(SyncMessage::Update(update))).await;
    }

    async fn take(&mut self, at: usize, length: usize) {
        let update = {
            let mut tx = self.doc.transact_mut();
            self.text.remove_range(&mut tx, u32::try_from(at).unwrap(), u32::try_from(length).unwrap());
            tx.encode_update_v1()
        };
        self.sent += 1;
        self.send(Sync::Sync(SyncMessage::Update(update))).await;
    }

    /// Hears one message; false when the server ended it.
    async fn hear(&mut self) -> bool {
        match self.socket.next().await {
            Some(Ok(Message::Binary(bytes))) => {
                let mut decoder = DecoderV1::from(bytes.as_ref());
                let messages: Vec<Sync> = MessageReader::new(&mut decoder).map(Result::unwrap).collect();
                for message in messages {
                    self.obey(message).await;
                }
                true
            }
            Some(Ok(Message::Text(text))) => {
                self.heard.push(serde_json::from_str(text.as_str()).unwrap());
                true
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => true,
            Some(Ok(Message::Close(_)) | Err(_)) | None => false,
        }
    }

    async fn obey(&mut self, message: Sync) {
        match message {
            Sync::Sync(SyncMessage::SyncStep1(seen)) => {
                let missing = self.doc.transact().encode_state_as_update_v1(&seen);
                self.sent += 1;
                self.send(Sync::Sync(SyncMessage::SyncStep2(missing))).await;
            }
            Sync::Sync(SyncMessage::SyncStep2(update)) => {
                self.doc.transact_mut().apply_update(Update::decode_v1(&update).unwrap()).unwrap();
                self.heard.push(json!({"type": "synced"}));
            }
            Sync::Sync(SyncMessage::Update(update)) => {
                self.doc.transact_mut().apply_update(Update::decode_v1(&update).unwrap()).unwrap();
            }
            Sync::Awareness(update) => {
                let said = update.clients.values().map(|entry| serde_json::from_str(&entry.json).unwrap());
                self.present.extend(said);
            }
            other => panic!("{other:?}"),
        }
    }

    async fn until(&mut self, what: &str, found: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !found(self) {
                assert!(self.hear().await, "the server ended it before {what}: {:?}", self.heard);
            }
        };
        let done = tokio::time::timeout(LIMIT, waiting).await;
        assert!(done.is_ok(), "{what} did not come: {:?}, {:?}", self.text(), self.heard);
    }

    async fn until_text(&mut self, text: &str) {
        self.until(text, |editor| editor.text() == text).await;
    }

    async fn until_said(&mut self, what: &str, said: &Value) {
        self.until(what, |editor| editor.heard.contains(said)).await;
    }

    /// Until everything that was typed here is durable.
    async fn until_kept(&mut self) {
        self.until("the answer for all changes", |editor| {
            editor.heard.iter().any(|said| said["type"] == "kept" && said["changes"] == json!(editor.sent))
        })
        .await;
    }

    async fn save(&mut self) -> Value {
        self.socket.send(Message::Text(json!({"type": "save"}).to_string().into())).await.unwrap();
        let answers = |editor: &Self| editor.heard.iter().filter(|said| is_answer(said)).count();
        let before = answers(self);
        self.until("the answer to save", |editor| answers(editor) > before).await;
        self.heard.iter().rfind(|said| is_answer(said)).unwrap().clone()
    }

    /// Why the server ends it.
    async fn why(mut self) -> Value {
        let ended = async { while self.hear().await {} };
        assert!(tokio::time::timeout(LIMIT, ended).await.is_ok(), "it goes on: {:?}", self.heard);
        self.heard.pop().unwrap()
    }
}

fn is_answer(said: &Value) -> bool {
    said["type"] == "saved" || said["type"] == "not_saved"
}

/// A site with a file, and who may change it.
struct Site {
    app: App,
    ada: String,
    file: i64,
}

impl Site {
    async fn new(content: &str) -> Self {
        let app = App::start();
        app.org("acme");
        let ada = app.person("ada", "developer", Some("acme")).await;
        let made = app.call("POST", "/api/projects", Some(&ada), Some(json!({"name": "Shop"}))).await;
        let project = made.body["id"].as_i64().unwrap();
        let body = json!({"path": "a.txt", "content": content});
        let made = app.call("POST", &format!("/api/projects/{project}/files"), Some(&ada), Some(body)).await;
        let file = made.body["id"].as_i64().unwrap();
        Self { app, ada, file }
    }

    async fn file(&self) -> Value {
        self.app.call("GET", &format!("/api/files/{}", self.file), Some(&self.ada), None).await.body
    }

    async fn until_version(&self, version: i64) -> Value {
        let started = std::time::Instant::now();
        loop {
            let file = self.file().await;
            if file["version"] == json!(version) {
                return file;
            }
            assert!(started.elapsed() < LIMIT, "version {version} is not written: {file}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn two_who_type_at_once_see_one_text_and_it_becomes_a_version() {
    let site = Site::new("one\r\ntwo\r\n").await;
    let bob_token = site.app.person("bob", "developer", Some("acme")).await;
    let mut ada = Editor::open(&site.app, site.file, &site.ada).await;
    let mut bob = Editor::open(&site.app, site.file, &bob_token).await;
    assert_eq!((ada.text(), bob.text()), ("one\ntwo\n".to_owned(), "one\ntwo\n".to_owned()));
    for letter in ["a", "b", "c", "d"] {
        tokio::join!(ada.write(0, letter), bob.write(4, letter));
    }
    ada.until_kept().await;
    bob.until_kept().await;
    ada.until("all letters", |editor| editor.text().len() == 16).await;
    let text = ada.text();
    bob.until_text(&text).await;
    assert_eq!(ada.save().await, json!({"type": "saved", "version": 2}));
    let file = site.file().await;
    assert_eq!(file["content"], json!(text.replace('\n', "\r\n")), "the file keeps its line ends");
    bob.until("the news of the version", |editor| {
        editor.heard.iter().any(|said| said["type"] == "file" && said["version"] == 2 && said["unsaved"] == false)
    })
    .await;
    let root = site.app.person("root", "admin", None).await;
    let trail = site.app.call("GET", "/api/audit?limit=20", Some(&root), None).await;
    let said: Vec<&str> =
        trail.body["items"].as_array().unwrap().iter().filter_map(|entry| entry["description"].as_str()).collect();
    for name in ["ada", "bob"] {
        let words = format!("Saved in version 2 of file a.txt what {name} changed together");
        assert!(said.contains(&words.as_str()), "{said:?}");
    }
}

/// The next number of a sequence that looks random (Knuth's MMIX generator).
fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 40).unwrap()
}

/// Types here and there, takes away here and there, and hears what others do.
async fn scribble(editor: &mut Editor, mut seed: u64, changes: usize) {
    for _ in 0..changes {
        let length = editor.text().len();
        let at = next(&mut seed) % (length + 1);
        if next(&mut seed).is_multiple_of(3) {
            editor.take(at, (next(&mut seed) % 4).min(length - at)).await;
        } else {
            let letter = ["a", "bc", "\n", "defg"][next(&mut seed) % 4];
            editor.write(u32::try_from(at).unwrap(), letter).await;
        }
        while let Ok(more) = tokio::time::timeout(Duration::from_millis(2), editor.hear()).await {
            assert!(more, "{:?}", editor.heard);
        }
    }
    editor.until_kept().await;
}

#[tokio::test]
async fn however_they_type_all_end_with_one_text_and_that_is_what_is_saved() {
    let site = Site::new("The text that they begin with.\n").await;
    for round in 0..3 {
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(Editor::open(&site.app, site.file, &site.ada).await);
        }
        let [one, two, three] = all.get_disjoint_mut([0, 1, 2]).unwrap();
        // Somebody writes the file through the API meanwhile.
        let path = format!("/api/files/{}", site.file);
        let past = async {
            let file = site.file().await;
            let text = format!("{}A line of an agent's.\n", file["content"].as_str().unwrap());
            let body = json!({"content": text, "expected_version": file["version"]});
            assert_eq!(site.app.call("PUT", &path, Some(&site.ada), Some(body)).await.status, 200);
        };
        tokio::join!(scribble(one, round, 60), scribble(two, round + 10, 60), scribble(three, round + 20, 60), past);
        let version = one.save().await["version"].clone();
        for editor in &mut all {
            editor
                .until("the news of the version", |editor| {
                    editor.heard.iter().any(|said| said["type"] == "file" && said["version"] == version)
                })
                .await;
        }
        let file = site.file().await;
        assert_eq!(file["version"], version);
        for editor in &all {
            assert_eq!(json!(editor.text()), file["content"]);
        }
        for mut editor in all {
            drop(editor.socket.close(None).await);
        }
    }
}

#[tokio::test]
async fn what_was_answered_for_survives_a_crash_and_is_saved_when_the_last_one_leaves() {
    let mut site = Site::new("").await;
    let mut ada = Editor::open(&site.app, site.file, &site.ada).await;
    for number in 0..40 {
        ada.write(0, &format!("{number} ")).await;
    }
    ada.until_kept().await;
    let kept = ada.text();
    // What nobody answered for may be lost, and only that.
    ada.write(0, "x").await;
    site.app.crash_and_restart();
    let mut again = Editor::open(&site.app, site.file, &site.ada).await;
    assert!(again.text() == kept || again.text() == format!("x{kept}"), "{}", again.text());
    let text = again.text();
    assert_eq!(site.file().await["version"], 1);
    drop(again.socket.close(None).await);
    let file = site.until_version(2).await;
    assert_eq!((&file["content"], &file["updated_by"]), (&json!(text), &json!("ada")));
}

#[tokio::test]
async fn what_others_write_to_the_file_is_merged_and_lost_by_nobody() {
    let site = Site::new("one\ntwo\nthree\n").await;
    let mut ada = Editor::open(&site.app, site.file, &site.ada).await;
    ada.write(8, "and ").await;
    ada.until_kept().await;
    let path = format!("/api/files/{}", site.file);
    let body = json!({"content": "ONE\ntwo\nthree\nfour\n", "expected_version": 1});
    assert_eq!(site.app.call("PUT", &path, Some(&site.ada), Some(body.clone())).await.status, 200);
    ada.until_text("ONE\ntwo\nand three\nfour\n").await;
    assert_eq!(ada.save().await["version"], 3);
    assert_eq!(site.file().await["content"], "ONE\ntwo\nand three\nfour\n");
    let late = site.app.call("PUT", &path, Some(&site.ada), Some(body)).await;
    assert_eq!((late.status, &late.body["code"]), (409, &json!("version_conflict")));
}

async fn refused(site: &Site, headers: &[(&'static str, &str)]) -> Option<u16> {
    Editor::try_open(&site.app, site.file, headers).await.err()
}

#[tokio::test]
async fn only_who_may_see_a_file_opens_it_and_only_who_may_change_it_does() {
    let site = Site::new("text").await;
    site.app.org("other");
    let stranger = site.app.person("eve", "developer", Some("other")).await;
    let viewer = site.app.person("vic", "viewer", Some("acme")).await;
    let bearer = format!("Bearer {stranger}");
    assert_eq!(refused(&site, &[("authorization", bearer.as_str())]).await, Some(404));
    assert_eq!(refused(&site, &[]).await, Some(401));
    let (cookie, ours) = (format!("resoftai_session={}", site.ada), format!("http://{}", site.app.address));
    let elsewhere = refused(&site, &[("cookie", cookie.as_str()), ("origin", "http://evil.example")]).await;
    assert_eq!(elsewhere, Some(403), "another site's page");
    assert_eq!(refused(&site, &[("cookie", cookie.as_str()), ("origin", ours.as_str())]).await, None);

    let mut vic = Editor::open(&site.app, site.file, &viewer).await;
    assert_eq!(vic.heard[0]["may_change"], false, "{:?}", vic.heard);
    assert_eq!(vic.save().await["code"], "read_only");
    let mut ada = Editor::open(&site.app, site.file, &site.ada).await;
    ada.write(0, "more ").await;
    vic.until_text("more text").await;
    vic.write(0, "mine ").await;
    assert_eq!(vic.why().await["code"], "read_only");
    ada.write(0, "still ").await;
    ada.until_kept().await;
    assert_eq!(ada.text(), "still more text");
}

#[tokio::test]
async fn a_session_ends_with_the_rights_it_was_opened_with() {
    let site = Site::new("text").await;
    let bob = site.app.person("bob", "developer", Some("acme")).await;
    let editor = Editor::open(&site.app, site.file, &bob).await;
    let out = site.app.call("POST", "/api/auth/logout", Some(&bob), None).await;
    assert!(out.status < 300, "{}", out.body);
    assert_eq!(editor.why().await["code"], "sign_in_ended");

    let editor = Editor::open(&site.app, site.file, &site.ada).await;
    let gone = site.app.call("DELETE", &format!("/api/files/{}", site.file), Some(&site.ada), None).await;
    assert_eq!(gone.status, 204, "{}", gone.body);
    assert_eq!(editor.why().await["code"], "not_found");
}

#[tokio::test]
async fn who_may_no_longer_change_a_file_is_told_and_who_is_no_member_is_sent_away() {
    let site = Site::new("text").await;
    let bob = site.app.person("bob", "developer", Some("acme")).await;
    let mut editor = Editor::open(&site.app, site.file, &bob).await;
    editor.write(0, "bob's ").await;
    editor.until_kept().await;
    site.app.cli_json(&["role", "assign", "bob", "viewer", "--org", "acme"], "");
    site.app.cli_json(&["role", "revoke", "bob", "developer", "--org", "acme"], "");
    editor.until_said("the end of the right to change", &json!({"type": "rights", "may_change": false})).await;
    let mut ada = Editor::open(&site.app, site.file, &site.ada).await;
    ada.write(0, "ada's ").await;
    editor.until_text("ada's bob's text").await;
    site.app.cli_json(&["role", "revoke", "bob", "viewer", "--org", "acme"], "");
    let why = editor.why().await;
    assert_eq!(why["type"], "ended", "{why}");
    // What bob typed is nobody's to lose: it is saved by who is still there.
    assert_eq!(ada.save().await["version"], 2);
    assert_eq!(site.file().await["content"], "ada's bob's text");
}

#[tokio::test]
async fn a_project_that_goes_to_another_team_is_opened_by_the_rights_there() {
    let site = Site::new("text").await;
    let root = site.app.person("root", "admin", None).await;
    let project = site.file().await["project_id"].clone();
    site.app.cli_json(&["team", "create", "acme", "core", "--name", "Core"], "");
    let team = site.app.cli_json(&["team", "show", "acme", "core"], "")["id"].clone();
    let editor = Editor::open(&site.app, site.file, &site.ada).await;
    let body = json!({"team_id": team});
    let moved = site.app.call("PUT", &format!("/api/projects/{project}"), Some(&root), Some(body)).await;
    assert_eq!(moved.status, 200, "{}", moved.body);
    assert_eq!(editor.why().await["code"], "moved");
    assert_eq!(Editor::open(&site.app, site.file, &root).await.text(), "text");
}

#[tokio::test]
async fn who_sends_faster_than_anybody_types_is_sent_away_and_what_was_answered_for_stays() {
    let site = Site::new("").await;
    let mut ada = Editor::open(&site.app, site.file, &site.ada).await;
    ada.write(0, "kept ").await;
    ada.until_kept().await;
    let flood = json!({"type": "save"}).to_string();
    for _ in 0..2000 {
        // The server hangs up before all of it is sent.
        if ada.socket.feed(Message::Text(flood.clone().into())).await.is_err() {
            break;
        }
    }
    drop(ada.socket.flush().await);
    while ada.hear().await {}
    assert_eq!(Editor::open(&site.app, site.file, &site.ada).await.text(), "kept ");
}

#[tokio::test]
async fn others_are_shown_by_the_names_of_their_accounts() {
    let site = Site::new("text").await;
    let bob = site.app.person("bob", "developer", Some("acme")).await;
    let mut ada = Editor::open(&site.app, site.file, &site.ada).await;
    let mut bob = Editor::open(&site.app, site.file, &bob).await;
    let said =
        json!({"user": {"name": "ada", "color": "#ff0000", "colorLight": "url(//x)"}, "cursor": null, "more": 1});
    let entry = yrs::sync::awareness::AwarenessUpdateEntry { clock: 1, json: said.to_string().into() };
    let update = AwarenessUpdate { clients: [(bob.doc.client_id(), entry)].into() };
    bob.send(Sync::Awareness(update)).await;
    ada.until("bob", |editor| !editor.present.is_empty()).await;
    let user = json!({"name": "bob", "color": "#ff0000", "colorLight": null});
    assert_eq!(ada.present[0], json!({"user": user, "cursor": null, "may_change": true}));
    drop(bob.socket.close(None).await);
    ada.until("bob's goodbye", |editor| editor.present.last() == Some(&Value::Null)).await;
}

#[tokio::test]
async fn what_is_no_message_of_the_protocol_ends_it_and_changes_nothing() {
    let site = Site::new("text").await;
    for (bad, code) in [
        (Message::Text("hello".into()), "garbled"),
        (Message::Binary(vec![0, 9, 9, 9].into()), "garbled"),
        (Message::Binary(vec![0, 2, 3, 250, 250, 250].into()), "invalid_change"),
    ] {
        let mut editor = Editor::open(&site.app, site.file, &site.ada).await;
        editor.socket.send(bad).await.unwrap();
        assert_eq!(editor.why().await["code"], code);
    }
    let mut editor = Editor::open(&site.app, site.file, &site.ada).await;
    // The server may hang up before all of it is sent.
    drop(editor.socket.send(Message::Binary(vec![0; (1 << 20) + 1].into())).await);
    editor.why().await;
    assert_eq!(Editor::open(&site.app, site.file, &site.ada).await.text(), "text");
}

#[tokio::test]
async fn two_servers_of_one_database_share_a_document() {
    // Only PostgreSQL has more than one server.
    if std::env::var_os("RESOFTAI_TEST_POSTGRES_URL").is_none() {
        return;
    }
    let site = Site::new("text").await;
    let other = site.app.beside();
    let mut here = Editor::open(&site.app, site.file, &site.ada).await;
    let mut there = Editor::open(&other, site.file, &site.ada).await;
    tokio::join!(here.write(0, "a"), there.write(4, "b"));
    here.until_text("atextb").await;
    there.until_text("atextb").await;
    assert_eq!(there.save().await["version"], 2);
    here.until("the news of the version", |editor| {
        editor.heard.iter().any(|said| said["type"] == "file" && said["version"] == 2)
    })
    .await;
}
