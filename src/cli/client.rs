//! One HTTP exchange with the server on this machine, over its Unix socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::failure::{Exit, Failure, Result};

const REPLY_LIMIT: usize = 64 * 1024 * 1024;
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A page of a list.
pub struct Page {
    pub items: Vec<Value>,
    pub next_cursor: Option<String>,
}

pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// The server that runs on `data_dir`.
    pub fn local(data_dir: &Path) -> Self {
        Self { socket: data_dir.join("run/resoftai.sock") }
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Result<()> {
        self.call(Method::DELETE, path, None).await.map(drop)
    }

    /// The first `limit` items of a list.
    pub async fn page(&self, path: &str, limit: u32) -> Result<Page> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let reply = self.get(&format!("{path}{joint}limit={limit}")).await?;
        Ok(Page {
            items: reply["items"].as_array().cloned().unwrap_or_default(),
            next_cursor: reply["next_cursor"].as_str().map(str::to_owned),
        })
    }

    /// The id of the organisation called `slug`.
    pub async fn org(&self, slug: &str) -> Result<i64> {
        let me = self.get("/api/auth/me").await?;
        let orgs = me["organizations"].as_array().cloned().unwrap_or_default();
        if let Some(id) = orgs.iter().find(|org| org["slug"] == slug).and_then(|org| org["id"].as_i64()) {
            return Ok(id);
        }
        let slugs: Vec<&str> = orgs.iter().filter_map(|org| org["slug"].as_str()).collect();
        let nearest =
            slugs.iter().max_by(|a, b| strsim::jaro_winkler(a, slug).total_cmp(&strsim::jaro_winkler(b, slug)));
        let hint = nearest.map_or_else(String::new, |nearest| format!(" Did you mean `{nearest}`?"));
        Err(Failure::new(Exit::NotFound, "not_found", format!("There is no organisation `{slug}` here.{hint}")))
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        match tokio::time::timeout(TIME_LIMIT, self.exchange(method, path, body)).await {
            Ok(result) => result,
            Err(_) => Err(self.unreachable("no answer within 60 seconds")),
        }
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|cause| self.unreachable(&cause.to_string()))?;
        let broken = |cause: hyper::Error| self.unreachable(&cause.to_string());
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::USER_AGENT, concat!("resoftai/", env!("CARGO_PKG_VERSION")))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|cause| Failure::usage(format!("This cannot be part of an address: {cause}.")))?;
        let answer = async move {
            // Owns the sender: dropping it at the end lets the connection end too.
            let mut sender = sender;
            let reply = sender.send_request(request).await.map_err(broken)?;
            let status = reply.status();
            let body = Limited::new(reply.into_body(), REPLY_LIMIT)
                .collect()
                .await
                .map_err(|cause| self.unreachable(&cause.to_string()))?
                .to_bytes();
            Ok::<_, Failure>((status, body))
        };
        let (answer, _) = tokio::join!(answer, connection);
        let (status, body) = answer?;
        if !status.is_success() {
            return Err(Failure::from_reply(status.as_u16(), &body));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|cause| self.unreachable(&format!("the answer is not JSON: {cause}")))
    }

    fn unreachable(&self, why: &str) -> Failure {
        let detail = format!(
            "The server does not answer on {}: {why}. Start it with `resoftai serve`, or name its data directory with --data-dir.",
            self.socket.display()
        );
        Failure::new(Exit::Unreachable, "unreachable", detail)
    }
}
