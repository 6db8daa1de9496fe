//! What plugins are told of projects and files: the payloads of `project.*` and `file.*`.

use serde_json::{Value, json};

use super::Project;
use super::files::{ProjectFile, StagedFile};
use crate::access::Caller;
use crate::hooks::by;

pub(super) fn project(project: &Project, caller: &Caller) -> Value {
    let Project { id, organization_id, team_id, name, status, .. } = project;
    by(
        caller,
        json!({"project_id": id, "organization_id": organization_id, "team_id": team_id, "name": name, "status": status}),
    )
}

/// A project and the names of what changes of it.
pub(super) fn change(project: &Project, changed: &[&str], caller: &Caller) -> Value {
    let mut payload = self::project(project, caller);
    payload["changed"] = json!(changed);
    payload
}

pub(super) fn new_file(project: &Project, file: &StagedFile, caller: &Caller) -> Value {
    let StagedFile { path, size, language, .. } = file;
    by(
        caller,
        json!({"project_id": project.id, "organization_id": project.organization_id, "path": path.as_str(),
            "size": size, "language": language}),
    )
}

pub(super) fn file(project: &Project, file: &ProjectFile, caller: &Caller) -> Value {
    let ProjectFile { id, path, language, size, version, sha256, .. } = file;
    by(
        caller,
        json!({"project_id": project.id, "organization_id": project.organization_id, "file_id": id, "path": path,
            "language": language, "size": size, "version": version, "sha256": sha256}),
    )
}
