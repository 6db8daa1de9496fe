//! Integrations: plugins that pass on what happens here to another system, through `send_notification`.
//!
//! Invariant: they are told after the fact, by the queue of the hooks, so nothing waits for another system. What was not
//! passed on is tried again a bounded number of times by a bounded number of tasks; then a line in the plugin's log says so.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use resoftai_sandbox::Level;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Plugins;
use super::counts::Outcome;
use super::crew::Worker;
use super::dispatch::{about, note};
use super::host::About;
use super::live::{Ask, Learned};
use super::logs::NewLine;
use crate::access::OrgId;
use crate::hooks::{Event, Hook, Pace};

const API: &str = "integration";
const METHOD: &str = "send_notification";
/// The setting that names what an integration is told.
pub(super) const EVENTS: &str = "events";
/// What one is told that says nothing.
const BY_DEFAULT: [&str; 3] = [".after", ".complete", ".error"];
/// Before each further try.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// Notifications of the whole site that wait for another try.
const MOST_AGAIN: usize = 200;

/// The further tries under way.
pub(super) struct Again(Arc<Semaphore>);

impl Default for Again {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST_AGAIN)))
    }
}

/// One thing to pass on.
struct Notification {
    hook: Hook,
    /// The arguments of the method, as JSON.
    arguments: String,
    about: About,
}

/// Whether a plugin may be told of `hook` anywhere, whatever its settings are.
pub(super) fn may_hear(learned: &Learned, hook: Hook) -> bool {
    learned.api == API && hook.spec().pace == Pace::Later
}

/// Whether a plugin with the setting `events` is told of `hook`: what the setting names; without it, what ends as in
/// [`BY_DEFAULT`], unless the plugin registered actions and so listens by itself.
fn hears(learned: &Learned, events: Option<&Value>, hook: Hook) -> bool {
    let default = || learned.config_schema.as_ref()?.pointer("/properties/events/default");
    let by_itself = || learned.hooks.iter().any(|own| own.kind == "action");
    may_hear(learned, hook)
        && match events.or_else(default).and_then(Value::as_array) {
            Some(named) => named.iter().any(|name| name == hook.name()),
            None => !by_itself() && BY_DEFAULT.iter().any(|end| hook.name().ends_with(end)),
        }
}

/// True when it arrived. A method without a return statement gives null: a slip, not a refusal.
fn arrived(answer: &str) -> Result<bool, String> {
    match serde_json::from_str(answer) {
        Ok(Value::Bool(arrived)) => Ok(arrived),
        Ok(Value::Null) => Ok(true),
        _ => Err(format!("{METHOD}() returns True when the event arrived, else False")),
    }
}

impl Plugins {
    /// The integrations at work in `org` that are told of `hook`.
    pub(super) fn hearers(&self, hook: Hook, org: Option<OrgId>) -> Vec<Arc<Worker>> {
        let team = self.at_work(org);
        let hears = |worker: &&Arc<Worker>| {
            worker.registered().is_some_and(|learned| hears(&learned, worker.events.as_ref(), hook))
        };
        team.iter().filter(hears).cloned().collect()
    }

    /// Tells the integrations of what happened, side by side.
    pub(super) async fn notify(&self, event: &Event) {
        let hearers = self.hearers(event.hook, event.org);
        if hearers.is_empty() {
            return;
        }
        let arguments = json!({"event": event.hook.name(), "data": event.payload}).to_string();
        let told = Arc::new(Notification { hook: event.hook, arguments, about: about(&event.payload) });
        join_all(hearers.into_iter().map(|worker| self.pass_on(worker, told.clone()))).await;
    }

    async fn pass_on(&self, worker: Arc<Worker>, told: Arc<Notification>) {
        if self.send(&worker, &told).await {
            return;
        }
        let Ok(turn) = self.inner.again.0.clone().try_acquire_owned() else {
            return self.give_up_passing_on(&worker, told.hook, "and too many others wait for another try");
        };
        let plugins = self.clone();
        self.inner.tasks.spawn_until_stop(async move {
            for pause in PAUSES {
                tokio::time::sleep(pause).await;
                let still_at_work = plugins.at_work(worker.org).iter().any(|one| Arc::ptr_eq(one, &worker));
                if !still_at_work || plugins.send(&worker, &told).await {
                    return;
                }
            }
            plugins.give_up_passing_on(&worker, told.hook, &format!("{} times", PAUSES.len() + 1));
            drop(turn);
        });
    }

    /// Whether there is nothing left to do: it arrived, or the plugin failed, which is judged and in its log.
    async fn send(&self, worker: &Worker, told: &Notification) -> bool {
        let Notification { hook, arguments, about } = told;
        let within = worker.wall();
        let started = Instant::now();
        let outcome = self.ask(worker, &Ask::Method(METHOD), arguments, about, within, arrived).await;
        let took = started.elapsed();
        note(worker, *hook, if matches!(outcome, Ok(true)) { Outcome::Well(took) } else { Outcome::Failed(took) });
        match outcome {
            Ok(arrived) => arrived,
            Err(failed) => {
                let sentence = self.judge(worker, failed).await;
                tracing::warn!(plugin = worker.slug(), hook = hook.name(), "an event was not passed on: {sentence}");
                true
            }
        }
    }

    fn give_up_passing_on(&self, worker: &Worker, hook: Hook, how: &str) {
        let text = format!("{} was not passed on: {METHOD}() returned False {how}.", hook.name());
        tracing::warn!(plugin = worker.slug(), organization = worker.org.map(|org| org.0), "{text}");
        worker.entry.counts.failed(&text);
        let (plugin, org, at) = (worker.slug().to_owned(), worker.org, self.inner.clock.now());
        self.inner.doors.diary.write(NewLine { plugin, org, at, level: Level::Error.into(), text });
    }
}

#[cfg(test)]
mod tests {
    use super::super::live::HookView;
    use super::*;

    #[test]
    fn an_integration_hears_what_it_names_else_what_is_done_unless_it_listens_by_itself() {
        let integration = |hooks: Vec<HookView>, config_schema| Learned { api: API.to_owned(), config_schema, hooks };
        let (after, before, filter) = (Hook::ProjectCreateAfter, Hook::ProjectCreateBefore, Hook::FilterLlmPrompt);
        let plain = integration(Vec::new(), None);
        for (hook, told) in
            [(after, true), (Hook::AgentError, true), (before, false), (filter, false), (Hook::UserLogin, false)]
        {
            assert_eq!(hears(&plain, None, hook), told, "{}", hook.name());
        }
        let named = json!(["user.login", "project.create.before", "no.such"]);
        assert!(hears(&plain, Some(&named), Hook::UserLogin) && !hears(&plain, Some(&named), after));
        assert!(!hears(&plain, Some(&named), before), "nothing waits for another system");
        let schema = json!({"properties": {"events": {"default": ["user.login"]}}});
        let schooled = integration(Vec::new(), Some(schema));
        assert!(hears(&schooled, None, Hook::UserLogin) && !hears(&schooled, None, after));
        let own = |kind: &str| HookView { name: "user.login".to_owned(), kind: kind.to_owned(), priority: 10 };
        assert!(!hears(&integration(vec![own("action")], None), None, after));
        assert!(hears(&integration(vec![own("filter")], None), None, after));
        assert!(!hears(&Learned { api: "template".to_owned(), ..Learned::default() }, None, after));
    }

    #[test]
    fn only_false_says_that_an_event_did_not_arrive() {
        assert_eq!([arrived("true"), arrived("null"), arrived("false")], [Ok(true), Ok(true), Ok(false)]);
        assert!(arrived("\"ok\"").is_err());
    }
}
