//! Mails to one server (RFC 5321): connect, TLS (RFC 3207, RFC 8314), sign-in (RFC 4954), and one message after the other.
//!
//! Invariants: a server that does not offer STARTTLS, or says more before TLS than it was asked, is left; what a server says
//! is bounded; only a refusal of this recipient or this message is for good, everything else may be mended.

use std::fmt::Display;
use std::time::{Duration, Instant};

use async_smtp::authentication::{Credentials, Mechanism};
use async_smtp::commands::{AuthCommand, DataCommand, EhloCommand, QuitCommand, RsetCommand, StarttlsCommand};
use async_smtp::error::Error as SmtpError;
use async_smtp::extension::{ClientId, Extension, ServerInfo};
use async_smtp::response::Response;
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, ReadHalf, Take,
    WriteHalf, split,
};
use tokio_rustls::client::TlsStream;
use utoipa::ToSchema;

use super::compose::Address;
use super::{Server, compose};
use crate::base::crypto;
use crate::base::error::{Error, Result};
use crate::config::Security;
use crate::net;

/// The most bytes a server may say before TLS begins, as many after, and with each further mail: a few lines a command are
/// usual.
const SAYS_MAX: u64 = 64 * 1024;
/// The longest it may take to hand a mail over, with the connection when there is none.
const LONGEST: Duration = Duration::from_secs(120);
/// How long a server is waited for before the next mail, and after a good-bye.
const BRIEF: Duration = Duration::from_secs(5);
/// The most characters of a server's words that are kept.
const WORDS_MAX: usize = 400;

/// A step on the way of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    Resolved,
    Connected,
    Secured,
    SignedIn,
    Accepted,
}

/// How a step went.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Step {
    pub step: StepName,
    pub ok: bool,
    /// What was found, or what failed and what to do.
    pub detail: String,
}

/// Why a mail was not taken.
#[derive(Debug)]
pub(super) struct Failure {
    pub step: StepName,
    /// The server said so, and the connection can take another mail.
    is_answer: bool,
    is_5xx: bool,
    /// No other try will do better.
    pub is_final: bool,
    pub error: Error,
}

/// A mail ready to go.
pub(super) struct Outgoing {
    pub from: Address,
    pub to: Address,
    /// The whole message with CRLF line ends.
    pub message: Vec<u8>,
}

/// A connection over which mails can be handed over: protected and signed in as the settings say.
pub(super) struct Link {
    talk: Talk<Box<dyn Wire>>,
    info: ServerInfo,
    /// Mails that went over it.
    pub mails: u32,
    pub used: Instant,
}

impl Link {
    /// Says good-bye; how the server takes it makes no difference.
    pub async fn quit(mut self) {
        drop(tokio::time::timeout(BRIEF, self.talk.say(QuitCommand)).await);
    }
}

/// Hands `mail` to `server`, over `link` when that still does, else over a new connection. The steps that succeeded are
/// pushed onto `steps`. With the outcome, the connection when it can take more.
pub(super) async fn send(
    client: &net::Client,
    server: &Server,
    link: Option<Link>,
    mail: &Outgoing,
    steps: &mut Vec<Step>,
) -> (Result<(), Failure>, Option<Link>) {
    let mut way = Way { client, server, steps };
    match tokio::time::timeout(LONGEST, way.go(link, mail)).await {
        Ok(Ok((link, sent))) => (sent, Some(link)),
        Ok(Err(failure)) => (Err(failure), None),
        Err(_) => {
            let sentence = format!(
                "The mail server {} did not take the mail within {} s. Check that it is at work.",
                server.name(),
                LONGEST.as_secs()
            );
            (Err(open_end(StepName::Accepted, Error::upstream("mail_failed", sentence))), None)
        }
    }
}

impl Server {
    pub(super) fn name(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// The way of one mail.
struct Way<'a> {
    client: &'a net::Client,
    server: &'a Server,
    steps: &'a mut Vec<Step>,
}

impl Way<'_> {
    /// # Errors
    /// When the connection is of no more use.
    async fn go(&mut self, link: Option<Link>, mail: &Outgoing) -> Result<(Link, Result<(), Failure>), Failure> {
        if let Some(mut link) = link
            && link.talk.begin_anew().await
            && self.begin(&mut link, mail).await.is_ok()
        {
            return self.hand_over(link, mail).await;
        }
        // There was none, or the server takes so many mails a connection, or no second one.
        let mut link = self.connect().await?;
        match self.begin(&mut link, mail).await {
            Ok(()) => self.hand_over(link, mail).await,
            Err(failure) if failure.is_answer => Ok((link, Err(failure))),
            Err(failure) => Err(failure),
        }
    }

    async fn connect(&mut self) -> Result<Link, Failure> {
        let Server { host, port, .. } = self.server;
        let found = self.client.resolve(host, *port).await.map_err(|error| open_end(StepName::Resolved, error))?;
        self.done(StepName::Resolved, found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        let tcp = self.client.connect(host, &found, *port).await;
        let tcp = tcp.map_err(|error| open_end(StepName::Connected, error))?;
        let at = tcp.peer_addr().map_or_else(|_| self.server.name(), |address| address.to_string());
        self.done(StepName::Connected, at);
        let (mut talk, info) = match self.server.security {
            Security::Tls => {
                let tls: Box<dyn Wire> = Box::new(self.secure(tcp).await?);
                self.greeted(Talk::new(tls), StepName::Secured).await?
            }
            Security::StartTls => {
                let (talk, info) = self.greeted(Talk::new(tcp), StepName::Connected).await?;
                let tls: Box<dyn Wire> = Box::new(self.start_tls(talk, &info).await?);
                let mut talk = Talk::new(tls);
                let info = self.hello(&mut talk, StepName::Secured).await?;
                (talk, info)
            }
            Security::None | Security::Unprotected => {
                let tcp: Box<dyn Wire> = Box::new(tcp);
                self.greeted(Talk::new(tcp), StepName::Connected).await?
            }
        };
        if let Some((name, password)) = self.server.credentials.clone() {
            let signed_in = sign_in(&mut talk, &info, Credentials::new(name, password)).await;
            let mechanism = signed_in.map_err(|cause| self.failed(StepName::SignedIn, SIGN_IN, &cause))?;
            self.done(StepName::SignedIn, format!("with {mechanism}"));
        }
        Ok(Link { talk, info, mails: 0, used: Instant::now() })
    }

    fn done(&mut self, step: StepName, detail: String) {
        self.steps.push(Step { step, ok: true, detail });
    }

    async fn greeted<S>(&self, mut talk: Talk<S>, step: StepName) -> Result<(Talk<S>, ServerInfo), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        talk.reply().await.map_err(|cause| self.failed(step, "did not greet us", &cause))?;
        let info = self.hello(&mut talk, step).await?;
        Ok((talk, info))
    }

    async fn hello<S>(&self, talk: &mut Talk<S>, step: StepName) -> Result<ServerInfo, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let hello = EhloCommand::new(ClientId::new(self.server.hello.clone()));
        let said = talk.say(hello).await.and_then(|reply| Ok(ServerInfo::from_response(&reply)?));
        said.map_err(|cause| self.failed(step, "did not answer EHLO", &cause))
    }

    async fn start_tls<S>(&mut self, mut talk: Talk<S>, info: &ServerInfo) -> Result<TlsStream<S>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if !info.supports_feature(Extension::StartTls) {
            let sentence = format!(
                "The mail server {} does not offer STARTTLS, so nothing was sent: it would have been readable on the way. If \
                 it speaks TLS from the first byte, set smtp.security to tls; if it should offer STARTTLS, somebody between \
                 here and there takes it out.",
                self.server.name()
            );
            return Err(open_end(StepName::Secured, Error::upstream("mail_unprotected", sentence)));
        }
        let said = talk.say(StarttlsCommand).await;
        said.map_err(|cause| self.failed(StepName::Secured, "offers STARTTLS and refused it", &cause))?;
        let Some(stream) = talk.into_quiet() else {
            let sentence = format!(
                "The mail server {} said more before TLS than it was asked, which may come from somebody else. Nothing was sent.",
                self.server.name()
            );
            return Err(open_end(StepName::Secured, Error::upstream("mail_unprotected", sentence)));
        };
        self.secure(stream).await
    }

    async fn secure<S>(&mut self, stream: S) -> Result<TlsStream<S>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Server { host, port, .. } = self.server;
        let tls = self.client.secure(host, *port, stream).await;
        let tls = tls.map_err(|error| open_end(StepName::Secured, error))?;
        let (_, session) = tls.get_ref();
        let version = session.protocol_version().and_then(|version| version.as_str().map(str::to_owned));
        let print = session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|certificate| crypto::hex(digest::digest(&digest::SHA256, certificate).as_ref()));
        let words = format!(
            "{}, with a certificate that is valid for {host} (SHA-256 {})",
            version.unwrap_or_else(|| "TLS".to_owned()).replace('_', " "),
            print.unwrap_or_default()
        );
        self.done(StepName::Secured, words);
        Ok(tls)
    }

    /// Says from whom the mail is.
    async fn begin(&self, link: &mut Link, mail: &Outgoing) -> Result<(), Failure> {
        let Outgoing { from, to, .. } = mail;
        let wide = !(from.is_ascii() && to.is_ascii());
        if wide && !link.info.supports_feature(Extension::SmtpUtfEight) {
            let sentence = format!(
                "The mail server {} does not offer SMTPUTF8, so it takes no address with characters beyond ASCII such as {}.",
                self.server.name(),
                if to.is_ascii() { from } else { to }
            );
            let error = Error::upstream("mail_failed", sentence);
            return Err(Failure { step: StepName::Accepted, is_answer: true, is_5xx: false, is_final: true, error });
        }
        let parameters = if wide { " BODY=8BITMIME SMTPUTF8" } else { "" };
        let said = link.talk.say(format!("MAIL FROM:<{from}>{parameters}\r\n")).await;
        let refused = |cause| self.failed(StepName::Accepted, "does not take mails from smtp.from", &cause);
        said.map(drop).map_err(refused)
    }

    /// Says to whom the mail is, and hands it over.
    async fn tell(&self, talk: &mut Talk<Box<dyn Wire>>, mail: &Outgoing) -> Result<Response, Failure> {
        let refused = |cause, what| self.failed(StepName::Accepted, what, &cause).final_if_5xx();
        let said = talk.say(format!("RCPT TO:<{}>\r\n", mail.to)).await;
        said.map_err(|cause| refused(cause, "does not take mails for this address"))?;
        let this = |cause| refused(cause, "does not take this mail");
        talk.say(DataCommand).await.map_err(this)?;
        talk.say_bytes(&compose::as_data(&mail.message)).await.map_err(this)
    }

    async fn hand_over(&mut self, mut link: Link, mail: &Outgoing) -> Result<(Link, Result<(), Failure>), Failure> {
        let sent = match self.tell(&mut link.talk, mail).await {
            Ok(reply) => {
                self.done(StepName::Accepted, words(&reply));
                Ok(())
            }
            Err(failure) if failure.is_answer => Err(failure),
            Err(failure) => return Err(failure),
        };
        link.mails += 1;
        link.used = Instant::now();
        Ok((link, sent))
    }

    fn failed(&self, step: StepName, what: &str, cause: &Trouble) -> Failure {
        let is_answer = matches!(cause, Trouble::Said(SmtpError::Permanent(_) | SmtpError::Transient(_)));
        let (why, is_5xx) = match cause {
            Trouble::Said(SmtpError::Permanent(reply)) => (format!("it said {}", words(reply)), true),
            Trouble::Said(SmtpError::Transient(reply)) => (format!("it said {}", words(reply)), false),
            Trouble::Said(_) => ("it said something that is not SMTP".to_owned(), false),
            Trouble::Ended => ("it ended the connection, or said too much".to_owned(), false),
            Trouble::NoWay => ("it offers neither PLAIN nor LOGIN".to_owned(), false),
            Trouble::Io(cause) => (cause.to_string(), false),
        };
        let sentence = format!("The mail server {} {what}: {why}.", self.server.name());
        Failure { step, is_answer, is_5xx, is_final: false, error: Error::upstream("mail_failed", sentence) }
    }
}

const SIGN_IN: &str = "did not let us in with smtp.username and smtp.password; check both";

impl Failure {
    /// Nothing was dialled.
    pub(super) fn before(is_final: bool, error: Error) -> Self {
        Self { step: StepName::Resolved, is_answer: false, is_5xx: false, is_final, error }
    }

    /// The server's refusal was about this mail alone.
    fn final_if_5xx(self) -> Self {
        Self { is_final: self.is_5xx, ..self }
    }
}

fn open_end(step: StepName, error: Error) -> Failure {
    Failure { step, is_answer: false, is_5xx: false, is_final: false, error }
}

/// A reply as it is shown: one line.
fn words(reply: &Response) -> String {
    let text = format!("{} {}", reply.code, reply.message.join(" "));
    compose::line(&text).chars().take(WORDS_MAX).collect()
}

/// PLAIN where it is offered, else LOGIN; which one.
async fn sign_in<S>(talk: &mut Talk<S>, info: &ServerInfo, credentials: Credentials) -> Result<Mechanism, Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let offered = |mechanism: &Mechanism| info.supports_auth_mechanism(*mechanism);
    let mechanism = [Mechanism::Plain, Mechanism::Login].into_iter().find(offered).ok_or(Trouble::NoWay)?;
    let mut reply = talk.say(AuthCommand::new(mechanism, credentials.clone(), None)?).await?;
    // LOGIN asks for the name, then for the password.
    for _ in 0..2 {
        if reply.has_code(334) {
            reply = talk.say(AuthCommand::new_from_response(mechanism, credentials.clone(), &reply)?).await?;
        }
    }
    if reply.has_code(235) { Ok(mechanism) } else { Err(Trouble::Said(reply.into())) }
}

/// What a conversation goes over.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Why a conversation did not go on.
enum Trouble {
    Said(SmtpError),
    Io(std::io::Error),
    /// The connection ended, or [`SAYS_MAX`] was reached.
    Ended,
    /// No way to sign in that we know.
    NoWay,
}

impl From<SmtpError> for Trouble {
    fn from(cause: SmtpError) -> Self {
        Self::Said(cause)
    }
}

impl From<std::io::Error> for Trouble {
    fn from(cause: std::io::Error) -> Self {
        Self::Io(cause)
    }
}

/// A conversation, of which nothing is logged: it holds the password and the mail.
struct Talk<S> {
    read: BufReader<Take<ReadHalf<S>>>,
    write: WriteHalf<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    fn new(stream: S) -> Self {
        let (read, write) = split(stream);
        Self { read: BufReader::new(read.take(SAYS_MAX)), write }
    }

    /// The connection, when the server has said nothing that was not read.
    fn into_quiet(self) -> Option<S> {
        let quiet = self.read.buffer().is_empty();
        quiet.then(|| self.read.into_inner().into_inner().unsplit(self.write))
    }

    /// Leaves the mail before behind (RFC 5321, section 4.1.1.5); the server may say as much again.
    /// False: it has ended, or the server is mute.
    async fn begin_anew(&mut self) -> bool {
        self.read.get_mut().set_limit(SAYS_MAX);
        matches!(tokio::time::timeout(BRIEF, self.say(RsetCommand)).await, Ok(Ok(_)))
    }

    async fn say(&mut self, command: impl Display) -> Result<Response, Trouble> {
        self.say_bytes(command.to_string().as_bytes()).await
    }

    async fn say_bytes(&mut self, bytes: &[u8]) -> Result<Response, Trouble> {
        self.write.write_all(bytes).await?;
        self.write.flush().await?;
        self.reply().await
    }

    /// The next reply, when it is none of a failure.
    async fn reply(&mut self) -> Result<Response, Trouble> {
        let mut reply = String::new();
        loop {
            let mut line = Vec::new();
            self.read.read_until(b'\n', &mut line).await?;
            if !line.ends_with(b"\n") {
                return Err(Trouble::Ended);
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            reply.push_str(line);
            // A code may stand alone (RFC 5321, section 4.2); the parser wants its blank.
            reply.push_str(if line.len() == 3 { " \r\n" } else { "\r\n" });
            if line.as_bytes().get(3) != Some(&b'-') {
                break;
            }
        }
        let reply: Response = reply.parse()?;
        if reply.is_positive() { Ok(reply) } else { Err(Trouble::Said(reply.into())) }
    }
}
