//! `resoftai audit verify`: what was brought here (a proof, a copy of a log, the address of one) with no server's help, and
//! without any of these the trail of the server itself.
//!
//! Invariant: exit code 0 means that everything asked about was verified.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::audit_log::{Source, address, bar, damaged, follow, read_file};
use crate::audit::tree::note::{Checkpoint, NOTE_LIMIT, Verifier};
use crate::audit::tree::outside::{FILE_LIMIT, ProofFile, Verification};
use crate::cli::client::query_string;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Output, cell};
use crate::cli::{Context, Global, login};

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A proof, a folder with a copy of a log, or where a server has one, such as
    /// https://resoftai.example:8443/api/audit/log. Without it, every entry that the server has is compared with its log.
    #[arg(value_name = "FILE|FOLDER|URL")]
    target: Option<String>,
    /// Of this organisation only, when the server's own trail is verified.
    #[arg(long, value_name = "SLUG", conflicts_with = "target")]
    org: Option<String>,
    /// The verifier key that you were given, or a file with it; else the key that comes along is used.
    #[arg(long, value_name = "KEY|FILE", requires = "target")]
    key: Option<String>,
    /// A checkpoint that you kept: the log must still begin with what it had then.
    #[arg(long, value_name = "FILE", requires = "target")]
    checkpoint: Option<PathBuf>,
}

impl VerifyArgs {
    /// Whether it is about something that lies here, or is named by its address.
    pub fn is_brought(&self) -> bool {
        self.target.is_some()
    }

    pub async fn brought(&self, global: &Global, out: Output) -> Result<()> {
        let target = self.target.as_deref().unwrap_or_default();
        if ["https://", "http://"].iter().any(|scheme| target.starts_with(scheme)) {
            return self.log(&self.server(target, global)?, out).await;
        }
        let path = PathBuf::from(target);
        if path.is_dir() {
            return self.log(&Source::Folder(path), out).await;
        }
        let text = String::from_utf8_lossy(&read_file(&path, FILE_LIMIT)?).into_owned();
        if !ProofFile::is_one(&text) {
            let detail = format!(
                "{target} is neither a proof nor a folder with a copy of a log. Make one with `resoftai audit prove ENTRY --out FILE` or \
                 `resoftai audit log --out FOLDER`."
            );
            return Err(Failure::usage(detail));
        }
        self.proof(&text, out)
    }

    fn server(&self, url: &str, global: &Global) -> Result<Source> {
        let authority = url.find("://").map_or(0, |at| at + 3);
        let end = url[authority..].find('/').map_or(url.len(), |at| authority + at);
        let (server, path) = url.split_at(end);
        let path = path.trim_end_matches('/');
        if path.is_empty() {
            let detail =
                format!("Name the log, such as {server}/api/audit/log or {server}/api/organizations/1/audit/log.");
            return Err(Failure::usage(detail));
        }
        let client = login::choose(&Global { server: Some(server.to_owned()), ..global.clone() })?;
        Ok(Source::Server(client, path.to_owned()))
    }

    /// The key that was given; without one, that which came along, of which a remark is made.
    fn verifier(&self, along: &str, out: Output) -> Result<Verifier> {
        let text = match &self.key {
            Some(given) if given.contains('+') => given.clone(),
            Some(file) => String::from_utf8_lossy(&read_file(file.as_ref(), NOTE_LIMIT)?).into_owned(),
            None => along.to_owned(),
        };
        let verifier = Verifier::parse(&text).map_err(|why| Failure::usage(format!("{why}.")))?;
        if self.key.is_none() {
            out.note(&format!(
                "The key came with what it signs; compare it with the one that you were given, or name that with --key:\n{verifier}"
            ))?;
        }
        Ok(verifier)
    }

    fn earlier(&self, verifier: &Verifier) -> Result<Option<Checkpoint>> {
        let Some(path) = &self.checkpoint else { return Ok(None) };
        let note = String::from_utf8_lossy(&read_file(path, NOTE_LIMIT)?).into_owned();
        let opened = verifier.open(&note);
        opened.map(Some).map_err(|why| damaged(&format!("the checkpoint in {}: {why}", path.display())))
    }

    fn proof(&self, text: &str, out: Output) -> Result<()> {
        let file = ProofFile::parse(text).map_err(|why| damaged(&why))?;
        if self.checkpoint.is_some() {
            let detail =
                "One proof does not tell how the log grew. Give --checkpoint with a copy of the log or its address.";
            return Err(Failure::usage(detail));
        }
        let verifier = self.verifier(&file.key, out)?;
        let checkpoint = file.verify(&verifier).map_err(|why| damaged(&why))?;
        let entry: Value = serde_json::from_str(&file.leaf).map_err(|_| damaged("the entry is not JSON"))?;
        let value = json!({
            "verified": true, "origin": checkpoint.origin, "position": file.position, "tree_size": checkpoint.size,
            "entry": entry, "verifier_key": verifier.to_string(),
        });
        let sentence = format!(
            "Verified: entry {} is at position {} of the {} entries of {}.\n{}",
            cell(&entry, "id"),
            file.position,
            checkpoint.size,
            checkpoint.origin,
            file.leaf
        );
        out.done(&value, &sentence)
    }

    async fn log(&self, source: &Source, out: Output) -> Result<()> {
        let along = if self.key.is_some() { String::new() } else { source.text("key").await? };
        let verifier = self.verifier(&along, out)?;
        let checkpoint = verifier.open(&source.text("checkpoint").await?).map_err(|why| damaged(&why))?;
        let earlier = self.earlier(&verifier)?;
        let (size, since) = (checkpoint.size, earlier.as_ref().map(|earlier| earlier.size));
        let mut log = Verification::new(checkpoint, earlier);
        follow(source, &mut log, size, None).await?;
        let value = json!({
            "verified": log.findings.is_empty(), "origin": verifier.origin(), "entries": size,
            "without_body": log.without_body, "findings": log.findings, "untold": log.untold,
            "verifier_key": verifier.to_string(),
        });
        let wrong = log.findings.len() as u64 + log.untold;
        if wrong > 0 {
            out.done(&value, &log.findings.join("\n"))?;
            return Err(damaged(&format!("{wrong} findings in {}", verifier.origin())));
        }
        let since = since
            .map_or_else(String::new, |size| format!(" It still begins with the {size} of the checkpoint you kept."));
        let bodies = if log.without_body == 0 {
            String::new()
        } else {
            format!(" Of {} only the hash is left, as retention leaves it.", log.without_body)
        };
        out.done(&value, &format!("Verified: {size} entries of {}.{since}{bodies}", verifier.origin()))
    }
}

/// Compares every entry that the server has with its place in its log.
pub async fn trail(args: &VerifyArgs, context: &Context) -> Result<()> {
    let mut logs = Vec::new();
    if args.org.is_some() {
        logs.push((args.org.clone().unwrap_or_default(), address(context, args.org.as_deref()).await?));
    } else {
        for log in context.client.all("/api/audit/logs").await? {
            let address = match log["organization_id"].as_i64() {
                Some(org) => format!("/api/organizations/{org}/audit/log"),
                None => "/api/audit/log".to_owned(),
            };
            logs.push((cell(&log, "origin"), address));
        }
    }
    let (mut entries, mut dropped, mut untold, mut findings) = (0, 0, 0, Vec::new());
    for (name, address) in &logs {
        let mut cursor = None;
        let bar = bar(0, "entries");
        loop {
            let query = query_string(&[("cursor", cursor.take())]);
            let mut part = context.client.get(&format!("{address}/check{query}")).await?;
            bar.set_length(part["tree_size"].as_u64().unwrap_or(0));
            bar.inc(part["checked"].as_u64().unwrap_or(0));
            dropped += part["dropped"].as_u64().unwrap_or(0);
            untold += part["untold"].as_u64().unwrap_or(0);
            for finding in part["findings"].as_array_mut().into_iter().flatten() {
                finding["log"] = json!(name);
                findings.push(finding.take());
            }
            cursor = part["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        entries += bar.position();
        bar.finish_and_clear();
    }
    report(context, logs.len(), entries, dropped, &findings, untold)
}

fn report(context: &Context, logs: usize, entries: u64, dropped: u64, findings: &[Value], untold: u64) -> Result<()> {
    let wrong = findings.len() as u64 + untold;
    let counts = format!("{entries} entries in {logs} logs, {dropped} bodies dropped by retention");
    let value = json!({
        "verified": wrong == 0, "logs": logs, "entries": entries, "dropped": dropped, "findings": findings, "untold": untold,
    });
    if context.out.is_json() {
        context.out.value(&value)?;
    } else if wrong == 0 {
        context.out.line(&format!("Verified: {counts}."))?;
    } else {
        let columns =
            [("log", "log"), ("wrong", "wrong"), ("entry", "entry_id"), ("position", "position"), ("what", "detail")];
        context.out.table(findings, &columns)?;
    }
    if wrong == 0 {
        return Ok(());
    }
    let detail = format!("The audit trail was tampered with: {wrong} findings ({counts}).");
    Err(Failure::new(Exit::Failed, "audit_tampered", detail))
}
