//! Completions for agents, from model servers that answer, cut, lie and refuse schemas. SQLite only: what is kept is the
//! business of `quotas`, whose own tests run on both.
#![allow(clippy::unwrap_used)]

#[path = "../../tests/it/model_server.rs"]
mod model_server;

use serde_json::json;

use self::model_server::{ANSWER_TOKENS, Answer, MODEL, ModelServer, PLAIN, PROMPT_TOKENS, STREAM};
use super::*;
use crate::base::clock::Time;
use crate::base::zone::Zone;
use crate::db::{self, params};
use crate::hooks::Hooks;
use crate::net::{self, Dns};
use crate::quotas::{self, Resource, Usage};

const ORG: OrgId = OrgId(7);

struct Room {
    _dir: tempfile::TempDir,
    db: Db,
    llm: Llm,
    tasks: Tasks,
}

impl Room {
    async fn start(server: &ModelServer) -> Self {
        Self::with_patience(server, Duration::from_secs(1)).await
    }

    async fn with_patience(server: &ModelServer, patience: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open_sqlite(&dir.path().join("l.db"), db::Options::default()).await.unwrap();
        let sql = "insert into organizations (id, name, slug, tier, created_at) values ($1, 'A', 'a', 'free', 0)";
        let made = db.write(move |tx| {
            tx.execute(sql, &params![ORG.0])?;
            quotas::open(tx, ORG, "free", Time(0))
        });
        made.await.unwrap();
        let (clock, tasks) = (Clock::system(), Tasks::default());
        let quotas =
            Quotas::start(db.clone(), clock.clone(), tasks.clone(), "one".to_owned(), Zone::default()).await.unwrap();
        let options = Options {
            data_dir: dir.path().to_owned(),
            model_path: None,
            engine: EngineParts { baseline: b"", v3: b"" },
            threads: 1,
            context: 8192,
            site_provider: Some(SiteProvider {
                base_url: server.url(),
                api_key: None,
                models: Vec::new(),
                context_length: None,
            }),
            patience,
            hooks: Hooks::default(),
        };
        let client = Client::new(Dns::from_system().unwrap(), &net::Options::default()).unwrap();
        let key = Key::random().unwrap();
        let llm = Llm::start(options, db.clone(), quotas, clock, tasks.clone(), key, client).await.unwrap();
        Self { _dir: dir, db, llm, tasks }
    }

    async fn ask(&self, schema: Option<serde_json::Value>) -> Result<Completion> {
        let request = ChatRequest { messages: question(), max_tokens: 48, temperature: 0.0, schema };
        self.llm.complete(&Caller::system(), ORG, None, MODEL, request, None).await
    }

    /// What is counted once everything is written down.
    async fn used(self) -> i64 {
        assert!(self.tasks.shut_down(Duration::from_secs(20)).await);
        let now = Clock::system().now();
        let quota = self.db.read(move |tx| Ok(quotas::store::find(tx, ORG, Resource::LlmTokens, now)?.unwrap()));
        let quota = quota.await.unwrap();
        assert_eq!(quota.reserved, 0);
        quota.used
    }
}

fn question() -> Vec<Message> {
    vec![Message { role: "user".to_owned(), content: "Name three colours.".to_owned() }]
}

fn total() -> i64 {
    i64::try_from(PROMPT_TOKENS + ANSWER_TOKENS).unwrap()
}

#[tokio::test]
async fn an_answer_comes_whole_with_its_tokens_and_is_settled_by_who_keeps_it() {
    let server = ModelServer::start(|_| Answer::stream(STREAM));
    let room = Room::start(&server).await;
    let info = room.llm.model(&Caller::system(), ORG, None).await.unwrap();
    assert_eq!((info.id.as_str(), info.context_length, info.structured), (MODEL, 8192, true));
    let (deltas, mut pieces) = tokio::sync::mpsc::channel(1000);
    let request = ChatRequest { messages: question(), max_tokens: 48, temperature: 0.0, schema: None };
    let done = room.llm.complete(&Caller::system(), ORG, None, MODEL, request, Some(deltas)).await.unwrap();
    let recorded: serde_json::Value = serde_json::from_str(PLAIN).unwrap();
    assert_eq!(done.text, recorded["choices"][0]["message"]["content"].as_str().unwrap());
    assert_eq!((done.prompt_tokens, done.completion_tokens), (PROMPT_TOKENS, ANSWER_TOKENS));
    assert_eq!(done.finish_reason, "length");
    let mut live = String::new();
    while let Ok(piece) = pieces.try_recv() {
        live.push_str(&piece);
    }
    assert_eq!(live, done.text);
    let tokens = done.prompt_tokens + done.completion_tokens;
    let usage = Usage { tokens, user: None, project: Some(1), model: MODEL.to_owned(), source: "run", metadata: None };
    let reservation = done.reservation;
    room.db.write(move |tx| reservation.settle_in(tx, &usage)).await.unwrap();
    assert_eq!(room.used().await, total());
}

#[tokio::test]
async fn an_answer_that_nobody_keeps_is_counted_all_the_same() {
    let server = ModelServer::start(|_| Answer::stream(STREAM));
    let room = Room::start(&server).await;
    drop(room.ask(None).await.unwrap());
    let db = room.db.clone();
    assert_eq!(room.used().await, total());
    let told = "select description from audit_entries where resource_type = 'model'";
    let told = db.read(move |tx| Ok(tx.query_map(told, &[], |row| row.get::<String>(0))?)).await.unwrap();
    let words = format!("{PROMPT_TOKENS} tokens of prompt and {ANSWER_TOKENS} of answer, which nobody kept");
    assert!(told.len() == 1 && told[0].contains(&words), "{told:?}");
}

#[tokio::test]
async fn a_call_that_is_given_up_in_the_middle_costs_the_prompt_and_what_came() {
    let mute = ModelServer::start(|_| Answer::raw("").and_silence());
    let room = Room::with_patience(&mute, Duration::from_millis(100)).await;
    assert_eq!(room.ask(None).await.err().unwrap().code(), "upstream_timeout");
    let prompt = room.used().await;
    assert!(prompt > 0);

    let half = &STREAM[..STREAM.len() / 2];
    let server = ModelServer::start(move |_| Answer::half(half).and_silence());
    let room = Room::with_patience(&server, Duration::from_secs(60)).await;
    let (deltas, mut pieces) = tokio::sync::mpsc::channel(1000);
    let request = ChatRequest { messages: question(), max_tokens: 48, temperature: 0.0, schema: None };
    let caller = Caller::system();
    let mut heard = 0;
    {
        let call = room.llm.complete(&caller, ORG, None, MODEL, request, Some(deltas));
        tokio::select! {
            _ = call => unreachable!("the answer has no end"),
            piece = pieces.recv() => heard += i64::from(piece.is_some()),
        }
    }
    while pieces.try_recv().is_ok() {
        heard += 1;
    }
    assert!(heard > 0);
    let used = room.used().await;
    assert!(used >= prompt + heard, "{used} of {prompt} and {heard} pieces");
    assert!(used < total() * 2, "{used}");
}

#[tokio::test]
async fn a_server_that_drips_is_given_up_in_time() {
    const LIMIT: Duration = Duration::from_millis(200);
    let endless = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{";
    let server = ModelServer::start(move |_| Answer::raw(endless).and_drips());
    let room = Room::with_patience(&server, Duration::from_secs(60)).await;
    let route = room.llm.route(ORG, Some(MODEL)).await.unwrap();
    let reply = upstream::chat(&route.provider, "{}".into(), route.provider.patience).await.unwrap();
    let late = upstream::read(&route.provider, reply, LIMIT).await.unwrap_err();
    assert_eq!(late.code(), "upstream_timeout");
    assert!(late.message().contains("was not done"), "{late}");

    let failed = "HTTP/1.1 500 X\r\n\r\n{\"error\":\"";
    let server = ModelServer::start(move |_| Answer::raw(failed).and_drips());
    let room = Room::with_patience(&server, LIMIT).await;
    let refused = room.ask(None).await.err().unwrap();
    assert_eq!(refused.code(), "upstream_failed", "{refused}");
    assert_eq!(room.used().await, 0);
}

#[tokio::test]
async fn a_server_that_knows_no_schemas_is_asked_once_more_without() {
    let server = ModelServer::start(|request| match request.body.get("response_format") {
        Some(_) => Answer::json(400, r#"{"error":"response_format is not supported"}"#),
        None => Answer::stream(STREAM),
    });
    let room = Room::start(&server).await;
    for _ in 0..2 {
        room.ask(Some(json!({"type": "object"}))).await.unwrap();
    }
    assert_eq!(server.requests().len(), 3, "the second time it is known");
    assert!(!room.llm.model(&Caller::system(), ORG, None).await.unwrap().structured);
}

#[tokio::test]
async fn a_broken_answer_is_an_error_and_what_came_is_counted() {
    let half = &STREAM[..STREAM.len() / 2];
    let failed = "data: {\"error\":{\"message\":\"CUDA error: out of memory\"}}\n\ndata: [DONE]\n\n";
    let with_error = format!("{}\n\n{failed}", half.rsplit_once("\n\n").unwrap().0);
    let cases = [
        (half.to_owned(), false, "upstream_cut"),
        (half.to_owned(), true, "upstream_timeout"),
        (with_error, false, "upstream_failed"),
        (STREAM.replace("\"prompt_tokens\":34", "\"prompt_tokens\":1"), false, ""),
    ];
    for (text, silent, code) in cases {
        let server = ModelServer::start(move |_| {
            let half = Answer::half(&text);
            if silent { half.and_silence() } else { half }
        });
        let room = Room::start(&server).await;
        let answer = room.ask(None).await;
        let got = answer.as_ref().map_or_else(Error::code, |_| "");
        assert_eq!(got, code);
        drop(answer);
        let used = room.used().await;
        if code.is_empty() {
            assert_eq!(used, 1 + i64::try_from(ANSWER_TOKENS).unwrap(), "it came whole, and the caller dropped it");
        } else {
            assert!((1..total() * 2).contains(&used), "{code}: {used}");
        }
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_http_costs_nothing() {
    let server = ModelServer::start(|_| Answer::raw("what?\r\n\r\n"));
    let room = Room::start(&server).await;
    assert_eq!(room.ask(None).await.err().unwrap().code(), "upstream_cut");
    assert_eq!(room.used().await, 0);
}

#[tokio::test]
async fn who_may_not_use_models_here_sees_no_organisation() {
    let server = ModelServer::start(|_| Answer::stream(STREAM));
    let room = Room::start(&server).await;
    let stranger = Caller { grants: Arc::default(), ..Caller::system() };
    assert_eq!(room.llm.model(&stranger, ORG, None).await.err().unwrap().code(), "not_found");
    assert_eq!(room.llm.model(&Caller::system(), ORG, Some("x")).await.err().unwrap().code(), "model_not_found");
}
