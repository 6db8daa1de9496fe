//! The hosts that the site may dial, from its settings and its database.
//!
//! Invariant: each room that dials has its entry here; `tests/it/egress.rs` compares the list with what a site is given.

use super::{Host, Site};
use crate::audit::forward::SyslogServer;
use crate::base::error::Result;
use crate::db::Db;
use crate::doctor::{open, store, text_of};
use crate::net::{Place, Target, server_of};
use crate::sso::Connection;

/// Where names are asked for.
const RESOLV: &str = "/etc/resolv.conf";
const DNS: u16 = 53;

pub(super) async fn list(site: &Site) -> Result<Vec<Host>> {
    let config = &site.config;
    let mut hosts = Vec::new();
    if let Some(url) = &config.database_url {
        let servers = Db::postgres_servers(&url.0)?.into_iter();
        hosts.extend(servers.map(|(host, port)| host_of(host, Some(port), "database", "database.url")));
    }
    hosts.extend(config.llm.base_url.iter().filter_map(|url| of_target(url, "models", "llm.base_url")));
    if let Some(host) = &config.smtp.host {
        hosts.push(host_of(host.clone(), Some(config.smtp.port()), "mail", "smtp.host"));
    }
    if let Some(server) = config.audit_syslog.as_deref().map(SyslogServer::parse).transpose()? {
        hosts.push(host_of(server.host, Some(server.port), "audit trail", "audit.syslog"));
    }
    if config.database_url.is_some() || site.database_file().exists() {
        hosts.extend(of_database(site).await?);
    }
    // Addresses, and names of this machine, are asked of nobody.
    let is_name =
        |host: &Host| host.port.is_some() && host.host.parse::<std::net::IpAddr>().is_err() && host.host != "localhost";
    if hosts.iter().any(is_name) {
        hosts.extend(name_servers());
    }
    Ok(hosts)
}

fn host_of(host: String, port: Option<u16>, by: &'static str, because: impl Into<String>) -> Host {
    Host { host, port, by, because: because.into() }
}

fn of_target(url: &str, by: &'static str, because: &str) -> Option<Host> {
    Some(match Target::parse(url).ok()?.place {
        Place::Tcp { host, port, .. } => host_of(host, Some(port), by, because),
        Place::Unix(path) => host_of(path.display().to_string(), None, by, because),
    })
}

async fn of_database(site: &Site) -> Result<Vec<Host>> {
    let db = open(site).await?;
    let read =
        db.read(|tx| Ok((store::model_servers(tx)?, store::identity_providers(tx)?, store::plugin_hosts(tx)?))).await;
    db.close().await;
    let (servers, providers, plugins) = read?;
    let mut hosts: Vec<Host> =
        servers.iter().filter_map(|(name, url, _)| of_target(url, "models", &format!("model server {name}"))).collect();
    for (name, connection) in &providers {
        hosts.extend(of_provider(connection, &format!("identity provider {name}")));
    }
    for (slug, pattern) in plugins {
        let (host, port) = match pattern.rsplit_once(':') {
            Some((host, digits)) => (host.to_owned(), digits.parse().ok()),
            None => (pattern, None),
        };
        let because = format!("granted to plugin {slug}");
        match port {
            Some(port) => hosts.push(host_of(host, Some(port), "plugins", because)),
            None => hosts.extend([80, 443].map(|port| host_of(host.clone(), Some(port), "plugins", because.clone()))),
        }
    }
    Ok(hosts)
}

/// Browsers go to a SAML provider, the site does not.
fn of_provider(connection: &str, because: &str) -> Vec<Host> {
    let Ok(Connection::Oidc { issuer, endpoints, .. }) = serde_json::from_str(connection) else { return Vec::new() };
    // Where the provider is asked for its addresses, those are dialled too; they are its own.
    let endpoints = endpoints.and_then(|endpoints| serde_json::to_value(endpoints).ok()).unwrap_or_default();
    let urls = endpoints.as_object().into_iter().flatten().filter_map(|(_, url)| url.as_str().map(str::to_owned));
    let mut hosts: Vec<Host> = std::iter::once(issuer)
        .chain(urls)
        .filter_map(|url| {
            let (host, port) = server_of(&url.parse().ok()?);
            Some(host_of(host, Some(port), "sign-in", because))
        })
        .collect();
    hosts.dedup();
    hosts
}

fn name_servers() -> Vec<Host> {
    let text = text_of(RESOLV).unwrap_or_default();
    let servers =
        text.lines().filter_map(|line| line.split_once("nameserver")).map(|(_, server)| server.trim().to_owned());
    servers.map(|server| host_of(server, Some(DNS), "names of hosts", RESOLV)).collect()
}
