//! Publishing: plugins that people of the site hand in, from the first look to the marketplace and out of it again.
//!
//! Invariant: what is published was looked at by machine and then by somebody who did not hand it in; a slug stays whose it
//! is, the mirror's or that of who first published it; every step is audited, and who handed it in is told.

pub mod checks;
pub mod routes;
pub mod store;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Time;
use crate::base::error::{Error, Result};

/// Where a submission stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MarketSubmissionStatus)]
pub enum Status {
    /// A check by machine failed; hand in another package.
    Failed,
    /// Somebody has to look at it.
    InReview,
    Rejected,
    /// Taken back by who handed it in.
    Withdrawn,
    /// In the marketplace.
    Published,
    /// In the marketplace, with the advice not to begin with it any more.
    Deprecated,
    /// Nobody installs it any more; where it is installed it stays.
    Yanked,
}

impl Status {
    const ALL: [Self; 7] = [
        Self::Failed,
        Self::InReview,
        Self::Rejected,
        Self::Withdrawn,
        Self::Published,
        Self::Deprecated,
        Self::Yanked,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::InReview => "in_review",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
            Self::Published => "published",
            Self::Deprecated => "deprecated",
            Self::Yanked => "yanked",
        }
    }

    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    /// Whether it may become `next`, and by whom.
    fn step(self, next: Self) -> Option<By> {
        match (self, next) {
            (Self::InReview, Self::Published | Self::Rejected) => Some(By::AnotherManager),
            (Self::InReview, Self::Withdrawn) => Some(By::Submitter),
            (Self::Published, Self::Deprecated | Self::Yanked)
            | (Self::Deprecated, Self::Published | Self::Yanked)
            | (Self::Yanked, Self::Published) => Some(By::SubmitterOrManager),
            _ => None,
        }
    }

    /// Whether it has to be said why.
    fn needs_a_reason(self) -> bool {
        matches!(self, Self::Rejected | Self::Deprecated | Self::Yanked)
    }
}

/// Who takes a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// Who manages the site's plugins and did not hand it in.
    AnotherManager,
    Submitter,
    SubmitterOrManager,
}

/// Whether `next` may follow, for a caller who handed it in or not, and manages the site's plugins or not.
///
/// # Errors
/// `submission_step`, `own_submission`, `forbidden`.
pub fn check_step(from: Status, next: Status, (submitter, manager): (bool, bool)) -> Result<()> {
    let by = from.step(next).ok_or_else(|| {
        let sentence = format!("A submission that is {} cannot become {}.", from.code(), next.code());
        Error::conflict("submission_step", sentence).field("status")
    })?;
    match by {
        By::AnotherManager if !manager => Err(Error::forbidden(
            "forbidden",
            "Who manages the site's plugins decides about submissions. Ask an administrator of the site.",
        )),
        By::AnotherManager if submitter => Err(Error::forbidden(
            "own_submission",
            "You handed this in, and nobody decides about their own. Ask another administrator of the site.",
        )),
        By::Submitter if !submitter => {
            Err(Error::forbidden("forbidden", "Only who handed it in takes it back. Reject it, with a reason."))
        }
        By::SubmitterOrManager if !submitter && !manager => {
            Err(Error::forbidden("forbidden", "Who handed it in, or an administrator of the site, does this."))
        }
        _ => Ok(()),
    }
}

/// One thing that was looked at by machine.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = MarketCheck)]
pub struct Check {
    /// Such as `loads`; it never changes.
    pub code: String,
    pub ok: bool,
    /// What was found, for people.
    pub text: String,
}

/// A submission as it is shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MarketSubmission)]
pub struct Submission {
    pub id: i64,
    pub slug: String,
    pub version: String,
    pub name: String,
    /// In lower-case hexadecimal.
    pub sha256: String,
    /// In bytes.
    pub length: i64,
    /// Instead of the package's own.
    pub category: Option<String>,
    /// Instead of the package's own, where there are any.
    pub tags: Vec<String>,
    pub checks: Vec<Check>,
    pub status: Status,
    pub reason: Option<String>,
    /// Null: the operator of the box, or somebody who was erased.
    pub submitted_by: Option<String>,
    pub submitted_at: Time,
    pub decided_by: Option<String>,
    pub decided_at: Option<Time>,
    /// Whether the caller handed it in.
    pub mine: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_decides_about_their_own_and_every_step_has_its_people() {
        use Status::{Deprecated, Failed, InReview, Published, Rejected, Withdrawn, Yanked};
        let may = |from, next, who| check_step(from, next, who).map_err(|error| error.code().to_owned());
        assert_eq!(may(InReview, Published, (false, true)), Ok(()));
        assert_eq!(may(InReview, Published, (true, true)), Err("own_submission".to_owned()));
        assert_eq!(may(InReview, Rejected, (true, true)), Err("own_submission".to_owned()));
        assert_eq!(may(InReview, Published, (true, false)), Err("forbidden".to_owned()));
        assert_eq!(may(InReview, Withdrawn, (true, false)), Ok(()));
        assert_eq!(may(InReview, Withdrawn, (false, true)), Err("forbidden".to_owned()));
        for (from, next) in [(Published, Deprecated), (Published, Yanked), (Deprecated, Yanked), (Yanked, Published)] {
            assert_eq!(may(from, next, (true, false)), Ok(()));
            assert_eq!(may(from, next, (false, true)), Ok(()));
            assert_eq!(may(from, next, (false, false)), Err("forbidden".to_owned()));
        }
        for from in [Failed, Rejected, Withdrawn] {
            for next in Status::ALL {
                assert_eq!(may(from, next, (true, true)), Err("submission_step".to_owned()));
            }
        }
    }
}
