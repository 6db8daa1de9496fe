//! A model server that replays exchanges recorded with our own engine: as they were, or cut, delayed and altered, for
//! that is how servers fail. Shared with the tests of `src/llm`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// "Name three colours." in at most 48 tokens, whole and streamed.
pub const PLAIN: &str = include_str!("recorded/chat.json");
pub const STREAM: &str = include_str!("recorded/chat.sse");
pub const MODEL: &str = "smollm2-135m-instruct";
/// What the recorded exchange used.
pub const PROMPT_TOKENS: u64 = 34;
pub const ANSWER_TOKENS: u64 = 48;

const MODELS: &str =
    r#"{"object":"list","data":[{"id":"smollm2-135m-instruct","object":"model","meta":{"n_ctx":8192}}]}"#;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub head: String,
    pub body: serde_json::Value,
}

/// What is written, and what the connection then does.
pub struct Answer {
    bytes: Vec<u8>,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    HangUp,
    /// Stays open until the client leaves.
    Silence,
    /// A space now and then until the client leaves.
    Drip,
}

/// Between two drips: well below any limit of silence.
const DRIP: Duration = Duration::from_millis(10);

impl Answer {
    /// A whole answer.
    pub fn json(status: u16, body: &str) -> Self {
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close");
        Self { bytes: format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into(), then: Then::HangUp }
    }

    /// A stream in one chunk, with its end.
    pub fn stream(text: &str) -> Self {
        let mut answer = Self::half(text);
        answer.bytes.extend_from_slice(b"0\r\n\r\n");
        answer
    }

    /// The same, and then the connection is gone.
    pub fn half(text: &str) -> Self {
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ntransfer-encoding: chunked";
        Self { bytes: format!("{head}\r\n\r\n{:x}\r\n{text}\r\n", text.len()).into(), then: Then::HangUp }
    }

    /// Bytes as they are.
    pub fn raw(text: &str) -> Self {
        Self { bytes: text.as_bytes().to_vec(), then: Then::HangUp }
    }

    /// Says no more, and does not hang up.
    pub fn and_silence(self) -> Self {
        Self { then: Then::Silence, ..self }
    }

    /// Never comes to an end, and is never silent for long.
    pub fn and_drips(self) -> Self {
        Self { then: Then::Drip, ..self }
    }
}

/// A server on a port of its own.
pub struct ModelServer {
    pub port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl ModelServer {
    /// Answers chat requests with `answer`; lists one model; counts no tokens. Lives as long as the test's process.
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, answer) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::new(answer));
        let seen = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (seen.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, &seen, answer.as_ref()));
            }
        });
        Self { port, requests }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// The chat requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request) -> Answer) {
    let Some(request) = read(&mut stream) else { return };
    let Answer { bytes, then } = match request.head.split(' ').nth(1) {
        Some("/v1/models") => Answer::json(200, MODELS),
        Some("/v1/chat/completions") => {
            seen.lock().unwrap().push(request.clone());
            answer(&request)
        }
        _ => Answer::json(404, "{}"),
    };
    // A client that left early is part of what is tested.
    if stream.write_all(&bytes).is_err() {
        return;
    }
    match then {
        Then::HangUp => {}
        Then::Silence => drop(stream.read(&mut [0; 1])),
        Then::Drip => {
            while stream.write_all(b" ").is_ok() {
                std::thread::sleep(DRIP);
            }
        }
    }
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 65536]);
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(Request { head: head.to_owned(), body: serde_json::from_str(body).unwrap_or_default() });
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
        }
    }
}
