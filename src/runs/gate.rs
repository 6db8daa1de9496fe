//! The quality gate: a run waits while what plugins found in its project is worse than is allowed.
//!
//! Invariant: from development on, no stage begins and no run is completed past a closed gate unless somebody who may said
//! so; that is in the trail with what was wrong. The turn that was done is committed either way.

use super::plan::Next;
use super::workflow::Stage;
use super::{Record, RunStatus, Runs};
use crate::access::actions::RunExecute;
use crate::access::{Permission, Permit};
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::projects::{self, Project, ProjectId, quality};

/// Why the run may not come to `next`, its stage done; None: it may. A review that sends the work back is no reason to wait.
pub(super) fn why_held(tx: &mut Tx<'_>, record: &Record, next: Next, project: &Project) -> Result<Option<String>> {
    if record.phase() < Stage::Development || matches!(next, Next::Again(_)) {
        return Ok(None);
    }
    let reasons = quality::of(tx, project)?.gate.reasons;
    Ok(if reasons.is_empty() { None } else { Some(reasons.join(" ")) })
}

/// Lets the run wait where it is.
pub(super) fn hold(record: &mut Record, why: String) {
    record.run.status = RunStatus::Paused;
    record.run.held = Some(why);
    record.step_job = None;
}

/// For the person who watches the run.
pub(super) fn words(why: &str) -> String {
    format!("The quality gate holds the run. {why} Mend the files and resume the run, or have it go on all the same.")
}

impl Runs {
    /// Lets a held run come to what follows, when its project passes now or `anyway`; the reasons that were passed over.
    ///
    /// # Errors
    /// `quality_gate`, with the reasons; `forbidden` when passing over them is not the caller's to decide.
    pub(super) fn release(
        &self,
        tx: &mut Tx<'_>,
        permit: &Permit<RunExecute>,
        record: &mut Record,
        anyway: bool,
    ) -> Result<Option<String>> {
        let project = projects::store::find(tx, permit, ProjectId(record.run.project_id))?;
        let why = why_held(tx, record, Next::Completed, &project)?;
        if let Some(why) = &why {
            if !anyway {
                let sentence = format!("{why} Mend the files, then resume the run; or resume it with override=true.");
                return Err(Error::conflict("quality_gate", sentence));
            }
            if !permit.caller().grants.at(record.place()).has(Permission::TeamManage) {
                let sentence = "To pass over the quality gate needs the permission team.manage where the project is. Ask an administrator.";
                return Err(Error::forbidden("forbidden", sentence));
            }
        }
        record.run.status = RunStatus::Running;
        record.run.held = None;
        // A review that sends the work back is not held.
        let next = record.plan.next(record.step, record.course(), true);
        self.go_on(tx, record, next)?;
        Ok(why)
    }
}
