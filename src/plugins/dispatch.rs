//! The plugins behind the door of hooks: who is called for what, in which order, and for how long.
//!
//! Invariant: a plugin that is slow, fails or answers what it may not costs its own answer; the value passes on as it was,
//! and the failure is counted against the plugin, shown with it and, in a row, switches it off.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use resoftai_sandbox::Kind as Registered;
use serde_json::Value;
use tokio::time::Instant;

use super::counts::Outcome;
use super::crew::Worker;
use super::host::{About, Deed};
use super::live::{Ask, Failed, HookView};
use super::{Inner, Plugins, integration};
use crate::access::{OrgId, UserId, is_plugin};
use crate::hooks::{Event, Hook, Listener, MAX_ANSWER, Pace, Payload, Spec};

/// One callback of one plugin.
pub(super) struct Callback {
    pub worker: Arc<Worker>,
    /// In the list that the plugin registered.
    pub place: usize,
    pub kind: Registered,
    pub priority: i32,
}

/// What the door of hooks holds: not the room itself, which holds the door.
pub(super) struct Ear(pub Weak<Inner>);

#[async_trait]
impl Listener for Ear {
    fn listens(&self, hook: Hook, org: Option<OrgId>) -> bool {
        let Some(inner) = self.0.upgrade() else { return false };
        let plugins = Plugins { inner };
        let spec = hook.spec();
        let kinds = [(Registered::Action, spec.kind.tells()), (Registered::Filter, spec.kind.asks())];
        kinds.into_iter().any(|(kind, called)| called && !plugins.callbacks(hook, kind, org).is_empty())
            || !plugins.hearers(hook, org).is_empty()
    }

    async fn tell(&self, event: Event) {
        if let Some(inner) = self.0.upgrade() {
            let plugins = Plugins { inner };
            tokio::join!(plugins.tell(&event), plugins.notify(&event));
        }
    }

    async fn filter(&self, hook: Hook, org: Option<OrgId>, value: Payload) -> Payload {
        match self.0.upgrade() {
            Some(inner) => Plugins { inner }.filter(hook, org, value).await,
            None => value,
        }
    }
}

impl Plugins {
    /// Says at the door what is listened to; whenever there are other plugins than before.
    pub(super) fn listen(&self) {
        let entries = self.inner.shelf.all();
        let learned: Vec<_> = entries.iter().filter(|entry| entry.active).filter_map(|entry| entry.learned()).collect();
        self.inner.hooks.want(|hook| {
            let spec = hook.spec();
            let called = |own: &HookView| own.name == spec.name && spec.calls(&own.kind);
            learned.iter().any(|learned| learned.hooks.iter().any(called) || integration::may_hear(learned, hook))
        });
    }

    /// The callbacks of this kind at work in `org`, over all plugins: by priority, then by slug.
    pub(super) fn callbacks(&self, hook: Hook, kind: Registered, org: Option<OrgId>) -> Vec<Callback> {
        let (name, code) = (hook.name(), code_of(kind));
        let mut found = Vec::new();
        for worker in self.at_work(org).iter() {
            let Some(learned) = worker.registered() else { continue };
            let own = learned.hooks.iter().enumerate().filter(|(_, own)| own.name == name && own.kind == code);
            found.extend(own.map(|(place, own)| Callback {
                worker: worker.clone(),
                place,
                kind,
                priority: own.priority,
            }));
        }
        // The workers are in the order of slugs, which a stable sort keeps.
        found.sort_by_key(|callback| callback.priority);
        found
    }

    /// Tells all actions: those of different plugins side by side, those of one in order.
    pub(super) async fn tell(&self, event: &Event) {
        let mut by_plugin: BTreeMap<String, Vec<Callback>> = BTreeMap::new();
        for callback in self.callbacks(event.hook, Registered::Action, event.org) {
            by_plugin.entry(callback.worker.slug().to_owned()).or_default().push(callback);
        }
        if by_plugin.is_empty() {
            return;
        }
        let payload = Value::Object(event.payload.clone()).to_string();
        let about = about(&event.payload);
        join_all(by_plugin.into_values().map(|own| self.tell_one(event.hook, own, &payload, &about))).await;
    }

    async fn tell_one(&self, hook: Hook, callbacks: Vec<Callback>, payload: &str, about: &About) {
        let started = Instant::now();
        for callback in callbacks {
            let most = match hook.spec().pace {
                Pace::Before(each) => each,
                Pace::Later | Pace::Asked { .. } => callback.worker.wall(),
            };
            let left = most.saturating_sub(started.elapsed());
            if left.is_zero() {
                note(&callback.worker, hook, Outcome::Skipped);
                continue;
            }
            if let Err(sentence) = self.call(&callback, hook, payload, about, left, |_| Ok(())).await {
                tracing::warn!(plugin = callback.worker.slug(), hook = hook.name(), "an action failed: {sentence}");
            }
        }
    }

    /// The value after all filters.
    pub(super) async fn filter(&self, hook: Hook, org: Option<OrgId>, mut value: Payload) -> Payload {
        let spec = hook.spec();
        let Pace::Asked { each, all } = spec.pace else { return value };
        let (started, about) = (Instant::now(), about(&value));
        for callback in self.callbacks(hook, Registered::Filter, org) {
            let slug = callback.worker.slug();
            let left = all.saturating_sub(started.elapsed()).min(each);
            if left.is_zero() {
                note(&callback.worker, hook, Outcome::Skipped);
                tracing::warn!(
                    plugin = slug,
                    hook = hook.name(),
                    "a filter was not asked: those before it took too long"
                );
                continue;
            }
            let payload = Value::Object(value.clone()).to_string();
            match self.call(&callback, hook, &payload, &about, left, |answer| answered(spec, &value, answer)).await {
                Ok(after) => value = after,
                Err(sentence) => {
                    tracing::warn!(plugin = slug, hook = hook.name(), "a filter was passed over: {sentence}");
                }
            }
        }
        value
    }

    /// Calls one callback and judges what came of it.
    ///
    /// # Errors
    /// A sentence that says why there is no answer.
    pub(super) async fn call<T>(
        &self,
        callback: &Callback,
        hook: Hook,
        payload: &str,
        about: &About,
        within: Duration,
        read: impl FnOnce(&str) -> Result<T, String> + Send,
    ) -> Result<T, String> {
        let worker = &callback.worker;
        let ask = Ask::Hook(callback.place, callback.kind, hook.name());
        let started = Instant::now();
        let outcome = self.ask(worker, &ask, payload, about, within, read).await;
        let took = started.elapsed();
        note(worker, hook, if outcome.is_ok() { Outcome::Well(took) } else { Outcome::Failed(took) });
        match outcome {
            Ok(answer) => {
                worker.entry.has_trouble(None);
                Ok(answer)
            }
            Err(failed) => Err(self.judge(worker, failed).await),
        }
    }

    /// Turns a plugin off where it failed too often; the sentence to show.
    pub(super) async fn judge(&self, worker: &Worker, failed: Failed) -> String {
        if let Some(in_a_row) = failed.in_a_row.filter(|count| *count >= MAX_FAILURES) {
            let slug = worker.slug();
            let sentence = format!(
                "It failed {in_a_row} times in a row and was turned off. Mend it, then enable it again: resoftai plugin enable {slug}. The last failure: {}",
                failed.sentence
            );
            self.give_up(worker, sentence).await;
        }
        failed.sentence
    }
}

/// Failures in a row after which a plugin is turned off.
const MAX_FAILURES: u32 = 5;

/// The value after an answer.
///
/// # Errors
/// What is wrong with it.
pub(super) fn answered(spec: &Spec, value: &Payload, answer: &str) -> Result<Payload, String> {
    if answer.len() > MAX_ANSWER {
        return Err(format!("it is longer than {} MiB", MAX_ANSWER >> 20));
    }
    spec.take_over(value, serde_json::from_str(answer).map_err(|cause| format!("it is no JSON ({cause})"))?)
}

/// What a call may reach: the project that it is about, to change it where somebody's deed is told of, unless a plugin did it.
pub(super) fn about(payload: &Payload) -> About {
    let text = |name: &str| payload.get(name).and_then(Value::as_str);
    let user = payload.get("user_id").and_then(Value::as_i64).map(UserId);
    let (actor, name) = (text("actor"), text("user_name").unwrap_or_default());
    let deed = actor.filter(|actor| !is_plugin(actor, name)).map(|_| Deed { user });
    About { project: payload.get("project_id").and_then(Value::as_i64), deed, ..About::default() }
}

/// Counts what became of one callback of a hook.
pub(super) fn note(worker: &Worker, hook: Hook, outcome: Outcome) {
    worker.entry.counts.fired(hook.name(), outcome);
    if outcome == Outcome::Skipped {
        worker.entry.counts.figures.skipped(worker.org, hook.name());
    }
    let labels = [
        ("plugin", worker.slug().to_owned()),
        ("hook", hook.name().to_owned()),
        ("outcome", outcome.code().to_owned()),
    ];
    metrics::counter!("plugin_hook_calls_total", &labels).increment(1);
}

fn code_of(kind: Registered) -> &'static str {
    match kind {
        Registered::Action => "action",
        Registered::Filter => "filter",
    }
}

/// What is wrong with what a plugin registered, for who installs it.
pub(super) fn warnings(registered: &[HookView]) -> Vec<String> {
    let mut warnings: Vec<String> = registered.iter().filter_map(warning).collect();
    warnings.dedup();
    warnings
}

fn warning(own: &HookView) -> Option<String> {
    let name = &own.name;
    let Some(hook) = Hook::by_name(name) else {
        let near = |spec: &&Spec| strsim::jaro_winkler(spec.name, name);
        let best = Hook::all().max_by(|a, b| near(a).total_cmp(&near(b))).filter(|spec| near(spec) > 0.8);
        let then = best.map_or_else(
            || "docs/plugins/hooks.md names all there are.".to_owned(),
            |spec| format!("Did you mean `{}`?", spec.name),
        );
        return Some(format!("There is no hook `{name}`, so that callback is never called. {then}"));
    };
    let spec = hook.spec();
    (!spec.calls(&own.kind)).then(|| {
        let (right, verb) =
            if own.kind == "filter" { ("action", "register_action") } else { ("filter", "register_filter") };
        format!(
            "`{name}` is registered as a {}, and is a hook for a {right}: it is never called. Use {verb}.",
            own.kind
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_may_be_changed_where_somebodys_deed_is_told_and_no_plugins() {
        let of = |payload: Value| about(payload.as_object().unwrap());
        let told = of(json!({"project_id": 7, "actor": "agent", "user_id": 3, "user_name": "developer"}));
        assert_eq!((told.project, told.deed.and_then(|deed| deed.user)), (Some(7), Some(UserId(3))));
        let operator = of(json!({"project_id": 7, "actor": "operator", "user_id": null, "user_name": "root"}));
        assert!(operator.deed.is_some_and(|deed| deed.user.is_none()));
        let plugin = of(json!({"project_id": 7, "actor": "system", "user_id": 3, "user_name": "plugin tidy"}));
        assert!(plugin.deed.is_none(), "else two plugins could keep each other writing");
        assert!(of(json!({"project_id": 7, "code": "x"})).deed.is_none(), "an opinion is asked for");
    }

    #[test]
    fn names_that_are_never_called_are_warned_of() {
        let own = |name: &str, kind: &str| HookView { name: name.to_owned(), kind: kind.to_owned(), priority: 10 };
        let good = [own("code.analyze", "filter"), own("code.analyze", "action"), own("user.login", "action")];
        assert_eq!(warnings(&good), Vec::<String>::new());
        let told = warnings(&[own("project.created.after", "action")]);
        assert!(told[0].contains("Did you mean `project.create.after`?"), "{told:?}");
        assert!(warnings(&[own("zzz", "action")])[0].contains("hooks.md"));
        assert!(warnings(&[own("user.login", "filter")])[0].contains("register_action"));
        assert!(warnings(&[own("filter.llm.prompt", "action")])[0].contains("register_filter"));
    }
}
