//! Which models there are, who may use them, and which server each is on.
//!
//! Invariant: finding a model takes no database and, once a server was asked, no network. An organisation sees the site's
//! servers and its own. A model is known by its own name; where several servers have it, that means the organisation's own
//! server, and `provider/name` says exactly which, so that a server more takes no name away from those who use it. Models
//! of an organisation's sources are known by that longer name alone.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::http::HeaderValue;
use hyper::{HeaderMap, Uri};

use super::builtin::Builtin;
use super::context::Tokenizer;
use super::source::{Source, Sources};
use super::store::ProviderRow;
use super::{Llm, Options, SiteProvider, Status, store, upstream};
use crate::access::OrgId;
use crate::base::error::{Error, Kind, Result};
use crate::base::tasks::Tasks;
use crate::net::{Client, Endpoint, Place, Target, is_local};

/// Names that rows may not take.
pub(super) const BUILTIN: &str = "builtin";
pub(super) const SITE: &str = "site";
/// How often changes by others are looked for.
const REFRESH: Duration = Duration::from_secs(15);
/// How long what a server said of itself is believed when somebody asks for a list.
const FRESH: Duration = Duration::from_secs(10);
/// A server that is not there is not asked again for a model sooner than this.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Where models are asked.
pub(super) enum At {
    Server(Server),
    Source(Arc<dyn Source>),
}

/// A model server's addresses.
pub(super) struct Server {
    pub endpoint: Endpoint,
    /// The address of chat completions.
    pub chat: Uri,
    pub headers: HeaderMap,
}

/// A server of models, or what takes the place of one.
pub(super) struct Provider {
    pub id: Option<i64>,
    pub name: String,
    pub org: Option<OrgId>,
    pub at: At,
    /// What an administrator listed; empty: whatever the server lists.
    pub listed: Vec<String>,
    /// What an administrator said, over what the server says.
    pub context: Option<u32>,
    pub builtin: Option<Builtin>,
    pub tokenizer: Tokenizer,
    /// How long it may be silent in the middle of a call.
    pub patience: Duration,
    refused_schema: AtomicBool,
    stamp: i64,
    found: RwLock<Found>,
}

/// What a server said of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub models: Arc<Vec<FoundModel>>,
    pub problem: Option<String>,
    pub at: Option<Instant>,
}

/// A model as its server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundModel {
    pub name: String,
    pub context: Option<u32>,
}

/// A model on its server.
pub(super) struct Route {
    pub provider: Arc<Provider>,
    /// As its server calls it.
    pub model: String,
    /// As users see it.
    pub id: String,
}

/// All servers.
pub(super) struct Catalogue {
    fixed: Vec<Arc<Provider>>,
    patience: Duration,
    rows: RwLock<Arc<Vec<Arc<Provider>>>>,
    asking: tokio::sync::Mutex<()>,
    sources: OnceLock<Box<dyn Sources>>,
}

impl Provider {
    fn new(
        client: &Client,
        name: &str,
        url: &str,
        org: Option<OrgId>,
        api_key: Option<&str>,
        patience: Duration,
    ) -> Result<Self> {
        let target = Target::parse(url)?;
        if let Place::Tcp { host, port, .. } = &target.place {
            client.allow(host, *port);
        }
        // An organisation's server that is on this machine in so many words was named by an administrator of the site; a
        // name that leads here was not.
        let fenced = org.is_some() && may_be_anybodys(&target);
        let endpoint = if fenced { client.fenced_endpoint(target)? } else { client.endpoint(target)? };
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(api_key) = api_key {
            headers.insert(AUTHORIZATION, authorization(api_key)?);
        }
        let chat = endpoint.uri("/chat/completions")?;
        Ok(Self::at(At::Server(Server { endpoint, chat, headers }), name, org, patience))
    }

    /// A source of models that `org` has.
    pub fn of_source(name: &str, org: OrgId, source: Arc<dyn Source>, patience: Duration) -> Self {
        let provider = Self::at(At::Source(source), name, Some(org), patience);
        provider.refuses_schemas();
        provider
    }

    fn at(at: At, name: &str, org: Option<OrgId>, patience: Duration) -> Self {
        Self {
            id: None,
            name: name.to_owned(),
            org,
            at,
            listed: Vec::new(),
            context: None,
            builtin: None,
            tokenizer: Tokenizer::default(),
            patience,
            refused_schema: AtomicBool::new(false),
            stamp: 0,
            found: RwLock::default(),
        }
    }

    pub fn server(&self) -> Option<&Server> {
        match &self.at {
            At::Server(server) => Some(server),
            At::Source(_) => None,
        }
    }

    pub fn is_source(&self) -> bool {
        matches!(self.at, At::Source(_))
    }

    /// Whether answers can be held to a schema, as far as is known.
    pub fn structured(&self) -> bool {
        !self.refused_schema.load(Ordering::Relaxed)
    }

    pub fn refuses_schemas(&self) {
        self.refused_schema.store(true, Ordering::Relaxed);
    }

    pub fn found(&self) -> Found {
        self.found.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn status(&self) -> (Status, Option<String>) {
        if let Some(builtin) = &self.builtin {
            return builtin.status();
        }
        let found = self.found();
        match (found.at, found.problem) {
            (None, _) => (Status::Unknown, None),
            (Some(_), None) => (Status::Ready, None),
            (Some(_), Some(problem)) => (Status::Unreachable, Some(problem)),
        }
    }

    /// The models by their own names.
    pub fn models(&self) -> Vec<String> {
        if let Some(builtin) = &self.builtin {
            return builtin.model_name().into_iter().collect();
        }
        if !self.listed.is_empty() {
            return self.listed.clone();
        }
        self.found().models.iter().map(|model| model.name.clone()).collect()
    }

    fn has(&self, model: &str) -> bool {
        if let Some(builtin) = &self.builtin {
            return builtin.model_name().is_some_and(|name| name == model);
        }
        if !self.listed.is_empty() {
            return self.listed.iter().any(|name| name == model);
        }
        let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
        found.models.iter().any(|found| found.name == model)
    }

    pub fn context_of(&self, model: &str) -> Option<u32> {
        if let Some(builtin) = &self.builtin {
            return Some(builtin.context());
        }
        let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
        self.context.or_else(|| found.models.iter().find(|found| found.name == model)?.context)
    }

    /// Asks the server what it has, unless it was asked within `fresh`.
    pub async fn ask(&self, fresh: Duration) {
        let at = self.found.read().unwrap_or_else(PoisonError::into_inner).at;
        if at.is_some_and(|at| at.elapsed() < fresh) {
            return;
        }
        let answer = upstream::list(self).await;
        let mut found = self.found.write().unwrap_or_else(PoisonError::into_inner);
        found.at = Some(Instant::now());
        found.problem = None;
        match answer {
            Ok(models) => found.models = Arc::new(models),
            Err(error) => found.problem = Some(error.message().to_owned()),
        }
    }
}

/// Whether an organisation may name it: not what only listens on this machine, where other services trust their callers.
/// Where a name leads is looked at when it is dialled.
pub(super) fn may_be_anybodys(target: &Target) -> bool {
    let Place::Tcp { host, .. } = &target.place else { return false };
    match host.parse() {
        Ok(address) => !is_local(address),
        Err(_) => host != "localhost" && !host.ends_with(".localhost"),
    }
}

/// # Errors
/// `invalid_api_key` when no header can carry it.
pub(super) fn authorization(api_key: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {api_key}")).map_err(|_| {
        let sentence = "The API key has characters that no HTTP header can carry. Copy it again, without line breaks.";
        Error::invalid("invalid_api_key", sentence).field("api_key")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

impl Route {
    pub fn context(&self) -> Option<u32> {
        self.provider.context_of(&self.model)
    }
}

impl Catalogue {
    pub fn new(options: &Options, client: &Client, tasks: &Tasks) -> Result<Self> {
        let mut fixed = Vec::new();
        let patience = options.patience;
        if let Some(SiteProvider { base_url, api_key, models, context_length }) = &options.site_provider {
            let mut provider = Provider::new(client, SITE, base_url, None, api_key.as_deref(), patience)?;
            provider.listed.clone_from(models);
            provider.context = *context_length;
            fixed.push(Arc::new(provider));
        }
        if let Some(builtin) = Builtin::new(options, client, tasks)? {
            // A long prompt takes a small processor minutes, and a dead engine is noticed at once.
            let mut provider = Provider::new(client, BUILTIN, &builtin.url(), None, None, upstream::TOTAL_LIMIT)?;
            provider.builtin = Some(builtin);
            fixed.push(Arc::new(provider));
        }
        Ok(Self {
            fixed,
            patience,
            rows: RwLock::default(),
            asking: tokio::sync::Mutex::default(),
            sources: OnceLock::new(),
        })
    }

    fn rows(&self) -> Arc<Vec<Arc<Provider>>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those of the configuration and the built-in one.
    pub fn fixed(&self) -> &[Arc<Provider>] {
        &self.fixed
    }

    pub fn look_also_in(&self, sources: Box<dyn Sources>) {
        drop(self.sources.set(sources));
    }

    /// The sources of `orgs`, and, `everywhere`, those of all organisations that are known to have some.
    pub fn sources_of(&self, orgs: &[OrgId], everywhere: bool) -> Vec<Arc<Provider>> {
        let Some(sources) = self.sources.get() else { return Vec::new() };
        let others = if everywhere { sources.organizations() } else { Vec::new() };
        let others = others.into_iter().filter(|org| !orgs.contains(org));
        orgs.iter()
            .copied()
            .chain(others)
            .flat_map(|org| sources.of(org, self.patience))
            .map(|served| served.0)
            .collect()
    }

    /// Whether a source that was asked before had models then.
    pub fn a_source_is_ready(&self) -> bool {
        let known = self.sources.get().map(|sources| sources.known()).unwrap_or_default();
        known.iter().any(|served| served.0.status().0 == Status::Ready && !served.0.models().is_empty())
    }

    /// The servers that any of `sees` may use, own ones first.
    pub fn visible(&self, sees: impl Fn(OrgId) -> bool) -> Vec<Arc<Provider>> {
        let rows = self.rows();
        let mut visible: Vec<_> = rows.iter().filter(|p| p.org.is_none_or(&sees)).cloned().collect();
        visible.sort_by_key(|provider| provider.org.is_none());
        visible.extend(self.fixed.iter().cloned());
        visible
    }

    /// The name users give for `model` of `provider` among `visible`.
    fn id(visible: &[Arc<Provider>], provider: &Arc<Provider>, model: &str) -> String {
        match meant(visible, model).as_slice() {
            [only] if !provider.is_source() && Arc::ptr_eq(only, provider) => model.to_owned(),
            _ => format!("{}/{model}", provider.name),
        }
    }

    /// The models of `visible`: server, name there, name for users. Nothing is offered twice under one name for users:
    /// it means the first.
    pub fn offers(visible: &[Arc<Provider>]) -> Vec<(&Arc<Provider>, String, String)> {
        let mut seen = HashSet::new();
        let every = visible.iter().flat_map(|provider| provider.models().into_iter().map(move |name| (provider, name)));
        let with_id = every.map(|(provider, name)| {
            let id = Self::id(visible, provider, &name);
            (provider, name, id)
        });
        with_id.filter(|(.., id)| seen.insert(id.clone())).collect()
    }

    /// Finds a model; asks servers what they have when it is not known.
    pub async fn route(&self, org: OrgId, name: Option<&str>) -> Result<Route> {
        let mut visible = self.visible(|other| other == org);
        visible.extend(self.sources_of(&[org], false));
        if let Some(route) = find(&visible, name)? {
            return Ok(route);
        }
        {
            let _one_at_a_time = self.asking.lock().await;
            let unlisted = visible.iter().filter(|p| p.listed.is_empty() && p.builtin.is_none());
            futures_util::future::join_all(unlisted.map(|provider| provider.ask(ASK_AGAIN))).await;
        }
        find(&visible, name)?.ok_or_else(|| missing(&visible, name))
    }

    /// Asks all of `providers` at once.
    pub async fn refresh(providers: &[Arc<Provider>]) {
        futures_util::future::join_all(providers.iter().filter(|p| p.builtin.is_none()).map(|p| p.ask(FRESH))).await;
    }
}

/// The servers that the bare name `model` can mean: an organisation's own that have it, else the site's.
fn meant<'a>(visible: &'a [Arc<Provider>], model: &str) -> Vec<&'a Arc<Provider>> {
    let (own, of_site): (Vec<_>, Vec<_>) = visible
        .iter()
        .filter(|provider| !provider.is_source() && provider.has(model))
        .partition(|provider| provider.org.is_some());
    if own.is_empty() { of_site } else { own }
}

fn find(visible: &[Arc<Provider>], name: Option<&str>) -> Result<Option<Route>> {
    let route = |provider: &Arc<Provider>, model: &str, id: String| Route {
        provider: provider.clone(),
        model: model.to_owned(),
        id,
    };
    let Some(name) = name else {
        let first = visible.iter().find_map(|provider| Some((provider, provider.models().into_iter().next()?)));
        return Ok(first.map(|(provider, model)| route(provider, &model, Catalogue::id(visible, provider, &model))));
    };
    match meant(visible, name).as_slice() {
        [provider] => return Ok(Some(route(provider, name, name.to_owned()))),
        [first, second, ..] => {
            let sentence = format!(
                "Several servers have the model {name}. Say which: `{}/{name}` or `{}/{name}`.",
                first.name, second.name
            );
            return Err(Error::invalid("model_ambiguous", sentence).field("model"));
        }
        [] => {}
    }
    let Some((place, model)) = name.split_once('/') else { return Ok(None) };
    let found = visible.iter().find(|provider| provider.name == place && provider.has(model));
    Ok(found.map(|provider| route(provider, model, name.to_owned())))
}

fn missing(visible: &[Arc<Provider>], name: Option<&str>) -> Error {
    let problems: Vec<String> = visible.iter().filter_map(|provider| provider.status().1).take(3).collect();
    let hint =
        if problems.is_empty() { "See GET /api/models for those there are.".to_owned() } else { problems.join(" ") };
    match name {
        Some(name) => {
            let shown: String = name.chars().take(100).collect();
            Error::new(
                Kind::NotFound,
                "model_not_found",
                format!("There is no model `{shown}` that you may use. {hint}"),
            )
            .field("model")
        }
        None => Error::unavailable("no_model", format!("No model can be used at the moment. {hint}")),
    }
}

impl Llm {
    /// Reads the rows anew; servers that did not change keep their connections and what is known of them.
    ///
    /// # Errors
    /// When the database fails. A row that cannot be used is logged and left out.
    pub(super) async fn reload(&self) -> Result<()> {
        let rows = self.inner.db.read(store::all).await?;
        let old = self.inner.catalogue.rows();
        let mut providers = Vec::with_capacity(rows.len());
        for row in rows {
            let same = |p: &&Arc<Provider>| p.id == Some(row.id) && p.stamp == row.updated_at.0;
            if let Some(kept) = old.iter().find(same) {
                providers.push(kept.clone());
                continue;
            }
            match self.build(&row) {
                Ok(provider) => providers.push(Arc::new(provider)),
                Err(error) => tracing::error!(provider = row.name, ?error, "a model server cannot be used"),
            }
        }
        let every = providers.iter().chain(self.inner.catalogue.fixed());
        let hosts = every.filter_map(|provider| match &provider.server()?.endpoint.target().place {
            Place::Tcp { host, port, .. } => Some((host.clone(), *port)),
            Place::Unix(_) => None,
        });
        self.inner.client.allow_only(hosts);
        *self.inner.catalogue.rows.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(providers);
        Ok(())
    }

    fn build(&self, row: &ProviderRow) -> Result<Provider> {
        let api_key = row.api_key_sealed.as_deref().map(|sealed| self.open_key(row.id, sealed)).transpose()?;
        let patience = self.inner.catalogue.patience;
        let (client, org) = (&self.inner.client, row.organization_id.map(OrgId));
        let mut provider = Provider::new(client, &row.name, &row.base_url, org, api_key.as_deref(), patience)?;
        provider.id = Some(row.id);
        provider.listed.clone_from(&row.models);
        provider.context = row.context_length;
        provider.stamp = row.updated_at.0;
        Ok(provider)
    }

    pub(super) async fn keep_current(&self) {
        loop {
            tokio::time::sleep(REFRESH).await;
            if let Err(error) = self.reload().await {
                tracing::warn!(?error, "the list of model servers could not be read again");
            }
        }
    }
}

/// Organisations by slug, for a minute; bounded.
#[derive(Default)]
pub(super) struct Slugs(Mutex<HashMap<String, (OrgId, Instant)>>);

impl Slugs {
    const MOST: usize = 1000;
    const LIFE: Duration = Duration::from_secs(60);

    pub fn get(&self, slug: &str) -> Option<OrgId> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(slug).filter(|(_, at)| at.elapsed() < Self::LIFE).map(|(org, _)| *org)
    }

    pub fn put(&self, slug: &str, org: OrgId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= Self::MOST {
            known.clear();
        }
        known.insert(slug.to_owned(), (org, Instant::now()));
    }
}
