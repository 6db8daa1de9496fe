//! Making a version of the file of what was edited together, and a change of the document of what was written meanwhile.
//!
//! Invariant: a version is written by the rights of somebody who changed the document, upon the version the document
//! stands on; either the file and the document change together or neither does.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::draft::{self, Draft};
use super::store::{self, Kept};
use super::{Editor, SAVE_AFTER, Together, frames, live};
use crate::access::actions::ProjectUpdate;
use crate::access::{Caller, OrgId, Permit};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::jobs::{self, Job, Jobs};
use crate::projects::analyze;
use crate::projects::files::{ProjectFile, StagedFile, store as files};
use crate::projects::path::ProjectPath;

pub const KIND: &str = "together.save";
/// Documents saved by themselves at a time.
const AT_WORK: usize = 2;
/// How often somebody else may write the file between our reading it and our writing.
const TRIES: usize = 5;

#[derive(Serialize, Deserialize)]
pub struct Payload {
    pub file: i64,
}

/// The text of a content.
///
/// # Errors
/// `not_text`.
pub fn text(content: &Bytes) -> Result<&str> {
    match std::str::from_utf8(content) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(Error::conflict(
            "not_text",
            "This file is no UTF-8 text, so it cannot be edited here. Upload a new version.",
        )),
    }
}

/// The text with LF at the end of each line, and whether all of them had CRLF: editors count a line's end as one character.
/// Where both are used, all stay as they are.
pub fn lines(text: &str) -> (Cow<'_, str>, bool) {
    let both = text.matches("\r\n").count();
    if both > 0 && text.matches('\r').count() == both && text.matches('\n').count() == both {
        return (text.replace("\r\n", "\n").into(), true);
    }
    (text.into(), false)
}

impl Together {
    /// Takes on the saving of what people leave unsaved.
    pub fn register(&self, jobs: &mut Jobs) {
        let together = self.clone();
        jobs.handle(KIND, AT_WORK, move |job| together.clone().save_later(job));
    }

    async fn save_later(self, job: Job) -> Result<()> {
        let Payload { file } = job.parse()?;
        let saved = self.save_by_editors(file).await;
        let live = self.with_open(|open| open.get(&file).and_then(|cell| cell.get().cloned()));
        if let (Some(live), Err(error)) = (&live, &saved) {
            live.tell(&json!({"type": "not_saved", "code": error.code(), "message": error.message()}));
        }
        saved
    }

    /// Saves by the rights of the latest of its editors who still has them; where nobody has, it stays unsaved.
    ///
    /// # Errors
    /// Those of [`Together::save`].
    pub(super) async fn save_by_editors(&self, file: i64) -> Result<()> {
        let editors = self.projects.db.read(move |tx| Ok(store::editors(tx, file)?)).await?;
        for editor in editors {
            let Ok(permit) = self.permit_of(&editor).await else { continue };
            match self.save(permit, file).await {
                Ok(_) => return Ok(()),
                Err(error) if error.code() == "not_found" => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn permit_of(&self, editor: &Editor) -> Result<Permit<ProjectUpdate>> {
        let caller = match editor.user {
            Some(user) => self.accounts.caller_of(user, editor.token).await?,
            None => Arc::new(Caller::system()),
        };
        caller.permit()
    }

    /// Makes what the document holds the latest version of its file; the file as it then is.
    ///
    /// # Errors
    /// `not_found`; what keeps a version from being written, such as a quota; `version_conflict` when others were faster
    /// all the time.
    pub(super) async fn save(&self, permit: Permit<ProjectUpdate>, file: i64) -> Result<ProjectFile> {
        for _ in 1..TRIES {
            match self.try_save(&permit, file).await {
                Err(error) if error.code() == "version_conflict" => self.rebase(file).await?,
                other => return other,
            }
        }
        self.try_save(&permit, file).await
    }

    async fn try_save(&self, permit: &Permit<ProjectUpdate>, file: i64) -> Result<ProjectFile> {
        let asked = permit.clone();
        let read = self.projects.db.read_long(move |tx| {
            let (project, row) = files::find(tx, &asked, file)?;
            Ok((project, row, store::load(tx, file)?.ok_or_else(live::gone)?))
        });
        let (project, row, (kept, updates)) = read.await?;
        files::check_version(&row, Some(kept.base_version))?;
        if kept.seq == kept.saved_seq {
            return Ok(row);
        }
        let (kept, text, state) = tokio::task::spawn_blocking(move || {
            let draft = Draft::load(&kept.state, updates.iter().map(Vec::as_slice))?;
            Ok::<_, Error>((kept, draft.text(), draft.state()))
        })
        .await
        .map_err(Error::internal)??;
        let content = if kept.crlf { text.replace('\n', "\r\n") } else { text };
        let staged = self.projects.stage(ProjectPath::parse(&row.path)?, content.into()).await?;
        self.projects.before_write(permit, &project, &staged, Some(&row)).await;
        self.write(permit.clone(), file, kept, staged, state).await
    }

    async fn write(
        &self,
        permit: Permit<ProjectUpdate>,
        file: i64,
        kept: Kept,
        staged: StagedFile,
        state: Vec<u8>,
    ) -> Result<ProjectFile> {
        let (now, hooks) = (self.projects.clock.now(), self.projects.hooks.clone());
        let written = self.projects.db.write(move |tx| {
            let (project, before) = files::find(tx, &permit, file)?;
            let org = OrgId(project.organization_id);
            let after = files::write(tx, (&permit, &hooks), now, &project, &staged, Some(kept.base_version))?;
            let editors = store::editors(tx, file)?;
            let Some(more) = store::saved(tx, file, &kept, after.version, &state)? else {
                return Err(Error::conflict(
                    "version_conflict",
                    "Somebody else saves the document at the moment. Try again.",
                ));
            };
            if more {
                jobs::enqueue_at(tx, now, now.plus(SAVE_AFTER), KIND, &Payload { file })?;
            }
            if after.version != before.version {
                analyze::enqueue(tx, now, org, &after)?;
                for editor in &editors {
                    record(tx, now, &permit, org, &after, editor)?;
                }
            }
            Ok(after)
        });
        written.await
    }

    /// Puts the document on the latest version of its file, merging what that changed.
    ///
    /// # Errors
    /// `not_text` when that is no text; `not_found`.
    pub(super) async fn rebase(&self, file: i64) -> Result<()> {
        let read = self.projects.db.read_long(move |tx| {
            let row = files::by_id(tx, file)?.ok_or_else(live::gone)?;
            Ok((row, store::load(tx, file)?.ok_or_else(live::gone)?))
        });
        let (row, (kept, _)) = read.await?;
        if row.version == kept.base_version {
            return Ok(());
        }
        let content = self.projects.content(&row.sha256).await?;
        let text = text(&content)?;
        let text = if kept.crlf { text.replace("\r\n", "\n") } else { text.to_owned() };
        let (base, epoch, stands_on) = (kept.base_state, kept.epoch, kept.base_version);
        let rewritten = tokio::task::spawn_blocking(move || draft::rewrite(&base, &text));
        let (update, state) = rewritten.await.map_err(Error::internal)??;
        let (data, now) = (frames::join(&[update]), self.projects.clock.now());
        let version = row.version;
        // Where another server was faster, the document stands on that version already.
        let rebased = self
            .projects
            .db
            .write(move |tx| Ok(store::rebase(tx, now, (file, epoch), (stands_on, version), &state, &data)?));
        rebased.await.map(drop)
    }
}

/// Says that a version holds what `editor` changed: an entry a person, so that each can be erased.
fn record(
    tx: &mut Tx<'_>,
    now: Time,
    permit: &Permit<ProjectUpdate>,
    org: OrgId,
    file: &ProjectFile,
    editor: &Editor,
) -> Result<()> {
    let words =
        format!("Saved in version {} of file {} what {} changed together", file.version, file.path, editor.name);
    let state = json!({"version": file.version, "edited_by": editor.name});
    let mut event = Event::new(AuditAction::Update, "file", words).id(file.id).org(org).after(&state);
    if let Some(user) = editor.user.filter(|user| Some(*user) != permit.caller().user) {
        event = event.person(user);
    }
    audit::record(tx, now, permit.caller(), &event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_ends_are_made_one_only_where_they_are_all_the_same() {
        assert_eq!(lines("a\r\nb\r\n"), ("a\nb\n".into(), true));
        assert_eq!(lines("a\r\nb\n"), ("a\r\nb\n".into(), false));
        assert_eq!(lines("a\rb\r\n"), ("a\rb\r\n".into(), false));
        assert_eq!(lines("a"), ("a".into(), false));
    }
}
