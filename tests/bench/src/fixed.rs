//! Servers to compare with: a bare axum handler, and a model server that replays a recorded answer.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{get, post};
use bytes::Bytes;
use serde_json::json;

const ANSWER: &[u8] = include_bytes!("../../it/recorded/chat.json");
const MODELS: &[u8] =
    br#"{"object":"list","data":[{"id":"smollm2-135m-instruct","object":"model","meta":{"n_ctx":8192}}]}"#;

/// `GET /` answers with the bytes of `file`, and nothing else is done.
pub fn bare(file: &str) {
    let bytes = Bytes::from(std::fs::read(file).unwrap());
    serve(Router::new().route("/", get(async move || json_reply(bytes.clone()))));
}

/// The model's answers are those recorded for the tests.
pub fn model() {
    let answer = post(async |_: Bytes| json_reply(Bytes::from_static(ANSWER)));
    let models = get(async || json_reply(Bytes::from_static(MODELS)));
    serve(Router::new().route("/v1/chat/completions", answer).route("/v1/models", models));
}

fn json_reply(bytes: Bytes) -> ([(axum::http::HeaderName, &'static str); 1], Bytes) {
    ([(CONTENT_TYPE, "application/json")], bytes)
}

/// Says where it answers and does so until it is killed, with as many threads as it has processors, like the product.
fn serve(router: Router) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", json!({"address": listener.local_addr().unwrap().to_string()}));
        axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true))), router)
            .await
            .unwrap();
    });
}
