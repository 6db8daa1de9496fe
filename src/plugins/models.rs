//! Models that plugins bring: a plugin of the kind `llm_provider` answers in the place of a model server.
//!
//! Invariant: an answer is made by an instance of its own, so a long one holds up nobody who asks the plugin something
//! else, and at most [`SEATS`] are made at once for an organisation. What the plugin says about its failure is its model's
//! failure, and no reason to switch it off; what breaks its instance is.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;

use super::crew::Worker;
use super::host::About;
use super::live::{Ask, Failed, parsed};
use super::{Inner, Plugins};
use crate::access::OrgId;
use crate::llm::{ANSWER_LIMIT, Answered, Fault, Llm, Offer, Question, Served, Source, Sources};

/// Answers that a plugin makes at once in one organisation.
const SEATS: u8 = 8;
/// How long a question waits for one of them.
const SEAT_LIMIT: Duration = Duration::from_secs(30);
/// How long a plugin may take to tell its models; it may ask a server.
const TELL_LIMIT: Duration = Duration::from_secs(5);
/// Bytes of a plugin's list of models, and of an answer beside its text.
const MAX_SAID: usize = 1 << 20;
/// Bytes of an answer.
const MAX_ANSWER: usize = 8 << 20;
const KIND: &str = "llm_provider";

/// Which of a worker's seats are free. Numbers begin with 1: 0 is who answers everything else.
pub(super) struct Seats {
    free: Mutex<Vec<u8>>,
    some: Semaphore,
}

impl Default for Seats {
    fn default() -> Self {
        Self { free: Mutex::new((1..=SEATS).rev().collect()), some: Semaphore::new(SEATS.into()) }
    }
}

/// A seat that is taken until this is dropped.
struct Taken<'a> {
    seats: &'a Seats,
    number: u8,
}

impl Seats {
    async fn take(&self) -> Option<Taken<'_>> {
        self.some.acquire().await.ok()?.forget();
        // The one that was given back last: its instance is the warmest.
        let number = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(Taken { seats: self, number })
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.seats.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
        self.seats.some.add_permits(1);
    }
}

/// What the room of models asks; not the room itself, which holds that one.
struct Shelves {
    plugins: Weak<Inner>,
}

impl Sources for Shelves {
    fn of(&self, org: OrgId, patience: Duration) -> Vec<Served> {
        let Some(inner) = self.plugins.upgrade() else { return Vec::new() };
        let team = Plugins { inner }.at_work(Some(org));
        let bring = team.iter().filter(|worker| worker.registered().is_some_and(|learned| learned.api == KIND));
        bring.map(|worker| self.served(org, worker, patience)).collect()
    }

    fn organizations(&self) -> Vec<OrgId> {
        self.plugins.upgrade().map(|inner| inner.crew.activations().organizations()).unwrap_or_default()
    }

    fn known(&self) -> Vec<Served> {
        let workers = self.plugins.upgrade().map(|inner| inner.crew.workers()).unwrap_or_default();
        workers.iter().filter_map(|worker| worker.served.get().cloned()).collect()
    }
}

impl Shelves {
    fn served(&self, org: OrgId, worker: &Arc<Worker>, patience: Duration) -> Served {
        let made = worker.served.get_or_init(|| {
            let source = Bringer { plugins: self.plugins.clone(), worker: Arc::downgrade(worker) };
            Served::new(worker.slug(), org, Arc::new(source), patience)
        });
        made.clone()
    }
}

/// One plugin in one organisation as a source of models.
struct Bringer {
    plugins: Weak<Inner>,
    worker: Weak<Worker>,
}

impl Bringer {
    fn there(&self) -> Result<(Plugins, Arc<Worker>), String> {
        let gone = || "it does not work in the organisation any more".to_owned();
        let inner = self.plugins.upgrade().ok_or_else(gone)?;
        Ok((Plugins { inner }, self.worker.upgrade().ok_or_else(gone)?))
    }
}

#[async_trait]
impl Source for Bringer {
    async fn models(&self) -> Result<Vec<Offer>, String> {
        let (plugins, worker) = self.there()?;
        plugins.models_of(&worker).await
    }

    async fn answer(&self, question: &Question, pieces: Option<Sender<String>>) -> Result<Answered, Fault> {
        let (plugins, worker) = self.there().map_err(Fault::Failed)?;
        plugins.answer(&worker, question, pieces).await
    }
}

impl Plugins {
    /// Has models of plugins found beside those of servers.
    pub(super) fn bring_models_to(&self, llm: &Llm) {
        llm.look_also_in(Box::new(Shelves { plugins: Arc::downgrade(&self.inner) }));
    }

    async fn models_of(&self, worker: &Worker) -> Result<Vec<Offer>, String> {
        let (ask, about) = (Ask::Provider("describe", None), About::default());
        let asked = self.ask(worker, &ask, "[]", &about, TELL_LIMIT, |text| parsed::<Described>(text, MAX_SAID));
        match asked.await {
            Ok(described) => Ok(described.models.into_iter().map(Into::into).collect()),
            Err(failed) => Err(self.words(worker, failed).await),
        }
    }

    /// Has a plugin answer, in a seat of its own, until it is done, whoever asked is gone, or it is switched off here.
    async fn answer(
        &self,
        worker: &Worker,
        question: &Question,
        pieces: Option<Sender<String>>,
    ) -> Result<Answered, Fault> {
        let full = || Fault::Busy(format!("{SEATS} answers are being made"));
        let Ok(Some(taken)) = tokio::time::timeout(SEAT_LIMIT, worker.seats.take()).await else { return Err(full()) };
        let gone = || Fault::Failed("it was switched off in the organisation".to_owned());
        let seat = self.in_seat(worker, taken.number).ok_or_else(gone)?;
        let given = json!({"question": question}).to_string();
        let about = About { patience: Some(ANSWER_LIMIT), ..About::default() };
        let ask = Ask::Provider("answer", pieces);
        let asked = self.ask(&seat, &ask, &given, &about, ANSWER_LIMIT, |text| parsed::<Said>(text, MAX_ANSWER));
        tokio::select! {
            biased;
            () = seat.gone.cancelled() => Err(gone()),
            outcome = asked => match outcome {
                Ok(said) => Ok(said.into()),
                Err(failed) => {
                    let busy = failed.in_a_row.is_none() && failed.said.is_none();
                    let words = self.words(&seat, failed).await;
                    Err(if busy { Fault::Busy(words) } else { Fault::Failed(words) })
                }
            },
        }
    }

    /// What callers are told: the plugin's own words without the lines of its code, which its log has.
    async fn words(&self, worker: &Worker, failed: Failed) -> String {
        match &failed.said {
            Some(said) => said.strip_prefix("PluginError: ").unwrap_or(said).to_owned(),
            None => self.judge(worker, failed).await,
        }
    }
}

/// What a plugin says about itself.
#[derive(Deserialize)]
struct Described {
    models: Vec<SaidModel>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SaidModel {
    Name(String),
    Model {
        #[serde(alias = "id", alias = "model")]
        name: String,
        context_length: Option<u32>,
    },
}

impl From<SaidModel> for Offer {
    fn from(said: SaidModel) -> Self {
        match said {
            SaidModel::Name(name) => Self { name, context_length: None },
            SaidModel::Model { name, context_length } => {
                Self { name, context_length: context_length.filter(|tokens| *tokens > 0) }
            }
        }
    }
}

/// An answer as plugins give it: a text, or an `LLMResponse`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Text(String),
    Response {
        content: String,
        #[serde(default)]
        finish_reason: Option<String>,
        #[serde(default)]
        usage: Value,
    },
}

impl From<Said> for Answered {
    fn from(said: Said) -> Self {
        match said {
            Said::Text(content) => Self { content, ..Self::default() },
            Said::Response { content, finish_reason, usage } => {
                let count = |name: &str| usage[name].as_u64();
                let usage = count("prompt_tokens").zip(count("completion_tokens"));
                Self { content, finish_reason, usage }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn models_are_names_or_say_more() {
        let text = r#"{"name": "x", "models": ["a", {"id": "b", "context_length": 4096}, {"name": "c"}]}"#;
        let offers: Vec<Offer> =
            parsed::<Described>(text, MAX_SAID).unwrap().models.into_iter().map(Into::into).collect();
        let names: Vec<&str> = offers.iter().map(|offer| offer.name.as_str()).collect();
        assert_eq!((names, offers[1].context_length), (vec!["a", "b", "c"], Some(4096)));
    }

    #[test]
    fn answers_are_texts_or_responses_and_half_a_usage_is_none() {
        let read = |text: &str| Answered::from(parsed::<Said>(text, MAX_ANSWER).unwrap());
        assert_eq!((read(r#""hi""#).content.as_str(), read(r#""hi""#).usage), ("hi", None));
        let usage = r#"{"content": "hi", "usage": {"prompt_tokens": 3, "completion_tokens": 2}, "model": "m"}"#;
        assert_eq!(read(usage).usage, Some((3, 2)));
        assert_eq!(read(r#"{"content": "hi", "usage": {"prompt_tokens": 3}}"#).usage, None);
        assert!(parsed::<Said>("7", MAX_ANSWER).is_err());
    }

    #[tokio::test]
    async fn a_seat_is_taken_once_and_given_back() {
        let seats = Seats::default();
        let first = seats.take().await.unwrap();
        let others = [seats.take().await.unwrap().number, seats.take().await.unwrap().number];
        assert!(!others.contains(&first.number), "given back seats are taken again, taken ones are not");
        let number = first.number;
        drop(first);
        assert_eq!(seats.take().await.unwrap().number, number);
        assert_eq!(seats.some.available_permits(), usize::from(SEATS));
    }
}
