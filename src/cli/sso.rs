//! `resoftai sso`: identity providers with which people sign in.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::cli::client::escape;
use crate::cli::download;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Column, cell};
use crate::cli::{Context, ListArgs, deleted, input, lookup, suggest};

const COLUMNS: [Column; 6] = [
    ("slug", "slug"),
    ("name", "name"),
    ("kind", "connection.kind"),
    ("org", "organization_id"),
    ("enabled", "enabled"),
    ("domains", "domains"),
];
const CERTIFICATES: [Column; 4] =
    [("certificate", "subject"), ("state", "state"), ("until", "not_after"), ("sha256", "sha256")];

/// What is set of a provider; what is left out stays as it is.
#[derive(Debug, Args)]
pub struct Settings {
    /// Its name, as people read it: "Sign in with NAME".
    #[arg(long)]
    name: Option<String>,
    /// SAML: its metadata: `@file.xml`, or `-` for stdin.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["issuer", "client_id"])]
    metadata: Option<String>,
    /// SAML: what it signs.
    #[arg(long, value_parser = ["assertion", "response", "both"])]
    signed: Option<String>,
    /// OIDC: its issuer, such as `https://id.site/realms/a`.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// OIDC: what this site is called there.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// OIDC: read the client's secret from stdin, or ask for it.
    #[arg(long)]
    client_secret_stdin: bool,
    /// OIDC: its keys, when it cannot be asked for them: `@keys.json`.
    #[arg(long, value_name = "TEXT")]
    jwks: Option<String>,
    /// An e-mail domain whose people are shown it, and for whose addresses alone it makes accounts. Give it again for more.
    #[arg(long, value_name = "DOMAIN")]
    domain: Vec<String>,
    /// Whether a first sign-in makes an account.
    #[arg(long, value_name = "BOOL")]
    provision: Option<bool>,
    /// The role of who comes the first time.
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// A group and the role it gives, such as `builders=developer`. Give it again for more.
    #[arg(long, value_name = "GROUP=ROLE", value_parser = input::pair)]
    group: Vec<(String, Value)>,
    /// An attribute to read, such as `email=mail`: subject, username, email, groups.
    #[arg(long, value_name = "WHAT=NAME", value_parser = input::pair)]
    attribute: Vec<(String, Value)>,
    /// Whether it always asks for two factors.
    #[arg(long, value_name = "BOOL")]
    second_factor: Option<bool>,
    /// Whether people sign in with it.
    #[arg(long, value_name = "BOOL")]
    enabled: Option<bool>,
}

#[derive(Debug, Subcommand)]
pub enum SsoCommand {
    /// List the identity providers you manage.
    List {
        /// Only those of this organisation.
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show one, with its certificates and until when they count.
    Show {
        /// The provider's slug.
        slug: String,
    },
    /// Make one: SAML with --metadata, OpenID Connect with --issuer and --client-id.
    Create {
        /// In its addresses, for good.
        slug: String,
        /// The organisation whose people it signs in; without it: the site's own.
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Change one.
    Update {
        /// The provider's slug.
        slug: String,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Delete one: its sessions end, and its people's links are gone.
    Delete {
        /// The provider's slug.
        slug: String,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Try one without signing in.
    Test {
        /// The provider's slug.
        slug: String,
    },
    /// Print this site's SAML metadata for one, to give to it.
    Metadata {
        /// The provider's slug.
        slug: String,
    },
}

impl Settings {
    /// Puts what was given onto `body`, which is a provider's settings as they are, or empty.
    fn onto(&self, body: &mut Map<String, Value>) -> Result<()> {
        let texts = [("name", &self.name), ("default_role", &self.role)];
        body.extend(texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), json!(text.as_ref()?)))));
        let flags = [("provision", self.provision), ("second_factor", self.second_factor), ("enabled", self.enabled)];
        body.extend(flags.into_iter().filter_map(|(key, flag)| Some((key.to_owned(), json!(flag?)))));
        if !self.domain.is_empty() {
            body.insert("domains".to_owned(), json!(self.domain));
        }
        for (key, pairs) in [("roles", &self.group), ("attributes", &self.attribute)] {
            if !pairs.is_empty() {
                body.insert(key.to_owned(), Value::Object(input::object(pairs)?));
            }
        }
        if self.client_secret_stdin {
            body.insert("client_secret".to_owned(), json!(input::secret("Client secret")?));
        }
        let mut connection = body.get("connection").and_then(Value::as_object).cloned().unwrap_or_default();
        if let Some(metadata) = &self.metadata {
            connection.insert("kind".to_owned(), json!("saml"));
            connection.insert("metadata".to_owned(), json!(input::text(metadata)?));
        }
        if self.issuer.is_some() || self.client_id.is_some() {
            connection.insert("kind".to_owned(), json!("oidc"));
        }
        if let Some(keys) = &self.jwks {
            let read: Value = serde_json::from_str(&input::text(keys)?)
                .map_err(|cause| Failure::usage(format!("--jwks is not JSON: {cause}.")))?;
            connection.insert("jwks".to_owned(), read);
        }
        let texts = [("signed", &self.signed), ("issuer", &self.issuer), ("client_id", &self.client_id)];
        connection.extend(texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), json!(text.as_ref()?)))));
        body.insert("connection".to_owned(), Value::Object(connection));
        Ok(())
    }
}

async fn find(context: &Context, slug: &str) -> Result<Value> {
    let all = context.client.all("/api/sso/providers").await?;
    match all.iter().find(|one| one["slug"] == slug) {
        Some(found) => Ok(found.clone()),
        None => Err(suggest::not_found("identity provider", slug, &all, "slug")),
    }
}

async fn path(context: &Context, slug: &str) -> Result<String> {
    Ok(format!("/api/sso/providers/{}", find(context, slug).await?["id"]))
}

pub async fn run(command: &SsoCommand, context: &Context) -> Result<()> {
    let (client, out) = (&context.client, &context.out);
    match command {
        SsoCommand::List { org, list } => {
            let org = match org {
                Some(org) => Some(lookup::organization_id(context, org).await?.to_string()),
                None => None,
            };
            let page = client.list("/api/sso/providers", &[("organization_id", org)], list.most()).await?;
            out.list(&page, &COLUMNS, "There are no identity providers. Make one: resoftai sso create SLUG --help")
        }
        SsoCommand::Show { slug } => show(slug, context).await,
        SsoCommand::Create { slug, org, settings } => {
            let mut body = Map::new();
            if let Some(org) = org {
                body.insert("organization_id".to_owned(), json!(lookup::organization_id(context, org).await?));
            }
            body.insert("slug".to_owned(), json!(slug));
            body.insert("name".to_owned(), json!(slug));
            settings.onto(&mut body)?;
            let made = client.post("/api/sso/providers", &Value::Object(body)).await?;
            let next = match made["connection"]["kind"].as_str() {
                Some("saml") => format!("Give it this site's metadata: resoftai sso metadata {slug}"),
                _ => match made["addresses"]["callback"].as_str() {
                    Some(callback) => format!("Tell it the redirect URI: {callback}"),
                    None => format!("Tell it the redirect URI: this site's /api/sso/{slug}/callback"),
                },
            };
            out.done(&made, &format!("Made identity provider {} ({slug}). {next}", cell(&made, "name")))
        }
        SsoCommand::Update { slug, settings } => {
            let path = path(context, slug).await?;
            let before = client.get(&path).await?;
            let keys =
                ["name", "enabled", "domains", "provision", "default_role", "second_factor", "attributes", "roles"];
            let kept = keys.into_iter().chain(["connection"]).map(|key| (key.to_owned(), before[key].clone()));
            let mut body: Map<String, Value> = kept.collect();
            settings.onto(&mut body)?;
            let changed = client.put(&path, &Value::Object(body)).await?;
            out.done(&changed, &format!("Changed identity provider {} ({slug}).", cell(&changed, "name")))
        }
        SsoCommand::Delete { slug, yes } => {
            let path = path(context, slug).await?;
            input::confirm(
                &format!("Delete identity provider {slug}? Whoever signs in with it alone is locked out."),
                *yes,
            )?;
            client.delete(&path).await?;
            out.done(&deleted(slug), &format!("Deleted identity provider {slug}."))
        }
        SsoCommand::Test { slug } => {
            let result = client.act(&format!("{}/test", path(context, slug).await?)).await?;
            match result["checks"].as_array() {
                Some(checks) if !out.is_json() => {
                    out.table(checks, &[("check", "name"), ("good", "good"), ("", "told")])?;
                }
                _ => out.value(&result)?,
            }
            match result["good"].as_bool() {
                Some(true) => Ok(()),
                _ => Err(Failure::new(Exit::Failed, "sso_test", "Not all of it is good: see what was found.")),
            }
        }
        SsoCommand::Metadata { slug } => {
            let path = format!("/api/sso/{}/metadata", escape(slug));
            let mut reply = client.open(&path, "application/samlmetadata+xml", None).await?;
            let mut text = Vec::new();
            download::copy(&mut reply, &mut text).await?;
            out.bytes(&text)
        }
    }
}

async fn show(slug: &str, context: &Context) -> Result<()> {
    let (client, out) = (&context.client, &context.out);
    let provider = client.get(&path(context, slug).await?).await?;
    let fields = COLUMNS.into_iter().chain([
        ("issuer", "connection.issuer"),
        ("client", "connection.client_id"),
        ("provision", "provision"),
        ("role", "default_role"),
        ("groups", "roles"),
        ("two factors", "second_factor"),
        ("metadata", "addresses.metadata"),
        ("ACS", "addresses.acs"),
        ("redirect URI", "addresses.callback"),
    ]);
    out.item(&provider, &fields.collect::<Vec<_>>())?;
    match provider["certificates"].as_array() {
        Some(certificates) if !out.is_json() && !certificates.is_empty() => out.table(certificates, &CERTIFICATES),
        _ => Ok(()),
    }
}
