//! Hooks: the door through which rooms tell plugins what happens, and ask them.
//!
//! Invariant: where no plugin listens, a place costs one atomic load, and no payload is made. Nothing that is told after
//! the fact is waited for, and no plugin can keep anything from happening: at worst an event is lost, counted and logged.
//!
//! Rooms below `plugins` fire hooks too, so the door is kit; `plugins` stands behind it once it is there. `catalogue` is
//! the list of hooks, `queue` holds what is told afterwards.

mod catalogue;
mod queue;
#[cfg(test)]
mod reference;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

pub use catalogue::{Field, Form, Hook, Kind, MAX_ANSWER, Pace, Spec};

use crate::access::{Caller, OrgId};
use crate::base::tasks::Tasks;
use crate::db::Tx;
use queue::Queue;

/// Events told at a time; those of one organisation one after the other.
const AT_WORK: usize = 4;
/// How long the server's end waits for what is still to be told.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Fields of a payload.
pub type Payload = Map<String, Value>;

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Event {
    pub hook: Hook,
    /// Where; None: on the site.
    pub org: Option<OrgId>,
    pub payload: Payload,
}

/// Whoever stands behind the door.
#[async_trait]
pub trait Listener: Send + Sync {
    /// Whether somebody at work in `org` registered `hook`.
    fn listens(&self, hook: Hook, org: Option<OrgId>) -> bool;

    /// Tells all who listen. Takes as long as [`Pace`] allows.
    async fn tell(&self, event: Event);

    /// The value after all who are asked had their say; as it was when nobody changed it.
    async fn filter(&self, hook: Hook, org: Option<OrgId>, value: Payload) -> Payload;
}

/// A handle on the door; clones share it.
#[derive(Clone, Default)]
pub struct Hooks {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    wanted: [AtomicBool; Hook::COUNT],
    listener: OnceLock<Box<dyn Listener>>,
    queue: Queue,
}

impl Hooks {
    /// Puts `listener` behind the door and begins to tell it what is queued, until the server stops. Once.
    pub fn open(&self, listener: Box<dyn Listener>, tasks: &Tasks) {
        if self.inner.listener.set(listener).is_err() {
            return;
        }
        for _ in 0..AT_WORK {
            let (hooks, stop) = (self.clone(), tasks.clone());
            tasks.spawn(async move { hooks.work(&stop).await });
        }
    }

    /// Says which hooks anybody listens to, anywhere.
    pub fn want(&self, wanted: impl Fn(Hook) -> bool) {
        for spec in Hook::all() {
            self.inner.wanted[spec.hook as usize].store(wanted(spec.hook), Ordering::Relaxed);
        }
    }

    /// Whether anybody listens to `hook`, anywhere.
    pub fn wants(&self, hook: Hook) -> bool {
        self.inner.wanted[hook as usize].load(Ordering::Relaxed)
    }

    /// Who listens to `hook` in `org`, if anybody does.
    fn listener(&self, hook: Hook, org: Option<OrgId>) -> Option<&dyn Listener> {
        if !self.wants(hook) {
            return None;
        }
        self.inner.listener.get().map(Box::as_ref).filter(|listener| listener.listens(hook, org))
    }

    /// Whether anybody at work in `org` listens to `hook`.
    pub fn listens(&self, hook: Hook, org: impl Into<Option<OrgId>>) -> bool {
        self.listener(hook, org.into()).is_some()
    }

    /// Tells that something happened; does not wait, and may be called anywhere.
    pub fn tell(&self, hook: Hook, org: impl Into<Option<OrgId>>, payload: impl FnOnce() -> Value) {
        let org = org.into();
        if self.listener(hook, org).is_some() {
            self.push(Event { hook, org, payload: object(payload()) });
        }
    }

    /// [`Hooks::tell`] once the present transaction is durable, and never when it is undone.
    pub fn tell_after(
        &self,
        tx: &mut Tx<'_>,
        hook: Hook,
        org: impl Into<Option<OrgId>>,
        payload: impl FnOnce() -> Value,
    ) {
        let org = org.into();
        if self.listener(hook, org).is_some() {
            let (hooks, event) = (self.clone(), Event { hook, org, payload: object(payload()) });
            tx.after_commit(move || hooks.push(event));
        }
    }

    /// Tells what is about to happen and waits as long as [`Pace::Before`] says. Never inside a transaction.
    pub async fn before(&self, hook: Hook, org: impl Into<Option<OrgId>>, payload: impl FnOnce() -> Value) {
        let org = org.into();
        if let Some(listener) = self.listener(hook, org) {
            listener.tell(Event { hook, org, payload: object(payload()) }).await;
        }
    }

    /// The field `name` of the value after all who are asked had their say; None when it is as it was.
    pub async fn filter(
        &self,
        hook: Hook,
        org: impl Into<Option<OrgId>>,
        name: &str,
        value: impl FnOnce() -> Value,
    ) -> Option<Value> {
        let org = org.into();
        let listener = self.listener(hook, org)?;
        let value = object(value());
        let before = value.get(name).cloned();
        let after = listener.filter(hook, org, value).await.remove(name)?;
        Some(after).filter(|after| Some(after) != before.as_ref())
    }

    /// [`Hooks::filter`] for a text.
    pub async fn filter_text(
        &self,
        hook: Hook,
        org: impl Into<Option<OrgId>>,
        name: &str,
        value: impl FnOnce() -> Value,
    ) -> Option<String> {
        match self.filter(hook, org, name, value).await? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    fn push(&self, event: Event) {
        let (hook, org) = (event.hook.name(), event.org.map(|org| org.0));
        if !self.inner.queue.push(event) {
            metrics::counter!("plugin_events_dropped_total", "hook" => hook).increment(1);
            tracing::warn!(hook, organization = org, "plugins are not told of this: too much is waiting to be told");
        }
    }

    async fn work(&self, tasks: &Tasks) {
        let Some(listener) = self.inner.listener.get() else { return };
        let stopped = async {
            tasks.stopping().await;
            tokio::time::sleep(DRAIN_LIMIT).await;
        };
        let telling = async {
            while let Some(event) = self.inner.queue.next(tasks).await {
                let org = event.org;
                listener.tell(event).await;
                self.inner.queue.done(org);
            }
        };
        tokio::select! {
            () = telling => {}
            () = stopped => {
                let left = self.inner.queue.close();
                if left > 0 {
                    tracing::warn!(left, "plugins were not told everything before the server's end");
                }
            }
        }
    }
}

fn object(payload: Value) -> Payload {
    match payload {
        Value::Object(fields) => fields,
        _ => Payload::new(),
    }
}

/// `fields` with who acts, as payloads tell it.
pub fn by(caller: &Caller, mut fields: Value) -> Value {
    fields["actor"] = json!(caller.actor.kind.code());
    fields["user_id"] = json!(caller.user.map(|user| user.0));
    fields["user_name"] = json!(caller.actor.name);
    fields
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Where something was told, and its number.
    type Told = (Option<OrgId>, Value);

    #[derive(Default, Clone)]
    struct Ear(Arc<Mutex<Vec<Told>>>);

    #[async_trait]
    impl Listener for Ear {
        fn listens(&self, _: Hook, org: Option<OrgId>) -> bool {
            org != Some(OrgId(9))
        }

        async fn tell(&self, event: Event) {
            tokio::task::yield_now().await;
            self.0.lock().unwrap().push((event.org, event.payload["n"].clone()));
        }

        async fn filter(&self, _: Hook, _: Option<OrgId>, mut value: Payload) -> Payload {
            value.insert("content".into(), "new".into());
            value
        }
    }

    fn door(wanted: bool) -> (Hooks, Ear, Tasks) {
        let (hooks, ear, tasks) = (Hooks::default(), Ear::default(), Tasks::default());
        hooks.open(Box::new(ear.clone()), &tasks);
        hooks.want(|hook| wanted && matches!(hook, Hook::UserLogin | Hook::FilterCodeContent));
        (hooks, ear, tasks)
    }

    #[tokio::test]
    async fn where_nobody_listens_no_payload_is_made() {
        let never = || -> Value { panic!("a payload was made for nobody") };
        for (hooks, org) in [(door(false).0, OrgId(1)), (door(true).0, OrgId(9)), (Hooks::default(), OrgId(1))] {
            hooks.tell(Hook::UserLogin, org, never);
            hooks.before(Hook::UserLogin, org, never).await;
            assert_eq!(hooks.filter(Hook::FilterCodeContent, org, "content", never).await, None);
        }
    }

    #[tokio::test]
    async fn events_of_an_organisation_are_told_in_order_and_all_of_them_at_the_end() {
        let (hooks, ear, tasks) = door(true);
        for n in 0..100 {
            hooks.tell(Hook::UserLogin, OrgId(n % 3), || json!({"n": n}));
        }
        assert!(tasks.shut_down(Duration::from_secs(10)).await);
        let heard = ear.0.lock().unwrap();
        assert_eq!(heard.len(), 100);
        for org in 0..3 {
            let own: Vec<i64> =
                heard.iter().filter(|(at, _)| *at == Some(OrgId(org))).map(|(_, n)| n.as_i64().unwrap()).collect();
            assert!(own.is_sorted(), "{own:?}");
        }
    }

    #[tokio::test]
    async fn a_filter_answers_only_what_changed() {
        let (hooks, ..) = door(true);
        let ask = async |text: &str| {
            let value = json!({"content": text});
            hooks.filter_text(Hook::FilterCodeContent, OrgId(1), "content", || value).await
        };
        assert_eq!((ask("old").await.as_deref(), ask("new").await), (Some("new"), None));
    }
}
