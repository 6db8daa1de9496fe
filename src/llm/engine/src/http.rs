//! The door: HTTP/1.1 on the inherited Unix listener.
//!
//! Invariant: every body, wait and number of connections is bounded, and a client that leaves takes its answer with it.
//! What a request means is in `request`, how an answer travels in `reply`.

mod reply;
mod request;

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, mpsc};

use crate::engine::Facts;
use crate::error::{Error, first_line};
use crate::log;
use crate::queue::{Cancel, LIMIT, Queue};
use reply::{Answer, Reply};
use request::{Ask, ChatRequest, TokenizeRequest};

/// Largest request body, bytes.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Connections at once: the queue, the running answer, and as many again for health and counting.
const MAX_CONNECTIONS: usize = 2 * (LIMIT + 1);
/// Longest wait for a request's headers or its body.
const PATIENCE: Duration = Duration::from_secs(30);

/// What every connection shares.
pub struct Door {
    name: String,
    queue: Arc<Queue>,
    facts: Arc<OnceLock<Arc<Facts>>>,
    started: u64,
}

impl Door {
    /// `facts` is set once the model is loaded; until then requests are refused as loading.
    pub fn new(name: String, queue: Arc<Queue>, facts: Arc<OnceLock<Arc<Facts>>>) -> Arc<Self> {
        Arc::new(Self { name, queue, facts, started: unix_seconds() })
    }

    fn facts(&self) -> Result<&Arc<Facts>, Error> {
        self.facts.get().ok_or(Error::Loading)
    }
}

/// Accepts connections for ever.
pub async fn accept(listener: UnixListener, door: Arc<Door>) -> Infallible {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { continue };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::error("A connection could not be accepted.", json!({"cause": error.to_string()}));
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let door = Arc::clone(&door);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(|request| answer(&door, request));
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            // A broken connection is the client's business; its drop guards have cancelled what it asked for.
            let _broken = http.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

async fn answer(door: &Arc<Door>, request: Request<Incoming>) -> Result<Reply, Infallible> {
    let result = match (request.method(), request.uri().path()) {
        (&Method::GET, "/health") => door.facts().map(|_| reply::json(200, &json!({"status": "ok"}))),
        (&Method::GET, "/v1/models") => door.facts().map(|facts| models(door, facts)),
        (&Method::POST, "/tokenize") => tokenize(door, request).await,
        (&Method::POST, "/v1/chat/completions") => complete(door, request).await,
        (method, path) => Err(Error::NotFound { method: method.to_string(), path: path.to_owned() }),
    };
    Ok(result.unwrap_or_else(|error| reply::error(&error)))
}

fn models(door: &Door, facts: &Facts) -> Reply {
    let meta = json!({"n_ctx_train": facts.trained_context, "n_ctx": facts.context, "n_vocab": facts.vocabulary.len()});
    let model =
        json!({"id": door.name, "object": "model", "created": door.started, "owned_by": "resoftai", "meta": meta});
    reply::json(200, &json!({"object": "list", "data": [model]}))
}

async fn tokenize(door: &Arc<Door>, request: Request<Incoming>) -> Result<Reply, Error> {
    let facts = Arc::clone(door.facts()?);
    let request: TokenizeRequest = read(request).await?;
    let tokens = work(move || request.tokens(&facts)).await?;
    Ok(reply::json(200, &json!({"tokens": tokens, "count": tokens.len()})))
}

async fn complete(door: &Arc<Door>, request: Request<Incoming>) -> Result<Reply, Error> {
    let facts = Arc::clone(door.facts()?);
    door.queue.check()?;
    let request: ChatRequest = read(request).await?;
    let (events, receiver) = mpsc::unbounded_channel();
    let cancel = Cancel::default();
    // Made before the work: a client that leaves meanwhile cancels it too.
    let answer = Answer::new(door.name.clone(), receiver, cancel.clone());
    let Ask { job, stream } = work(move || request.prepare(&facts, events, cancel)).await?;
    door.queue.push(job)?;
    match stream {
        Some(stream) => Ok(answer.stream(stream.include_usage)),
        None => answer.whole().await,
    }
}

/// Reads and parses a body.
async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Error> {
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    let body: Bytes = match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(Error::TooLarge { limit: MAX_BODY });
        }
        Ok(Err(error)) => return Err(Error::Body { cause: first_line(&error.to_string()) }),
        Err(_) => return Err(Error::Body { cause: format!("it took longer than {} seconds", PATIENCE.as_secs()) }),
    };
    serde_json::from_slice(&body).map_err(|error| Error::Invalid {
        message: format!("The request body cannot be read: {error}. Send JSON as the OpenAI API describes it."),
        param: None,
    })
}

/// Runs what takes longer than a connection may wait for another: tokenising megabytes, compiling grammars.
async fn work<T: Send + 'static>(task: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let panicked = |error: tokio::task::JoinError| Error::Inference { cause: error.to_string() };
    tokio::task::spawn_blocking(task).await.map_err(panicked)?
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
