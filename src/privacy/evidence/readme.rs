//! The page that explains the evidence to whoever opens it, without us.

use super::store::SHEETS;
use crate::base::clock::Time;
use crate::orgs::Organization;

/// `backups`: how many backups and restores the site's trail tells of.
pub fn text(whose: Option<&Organization>, backups: i64, now: Time) -> String {
    let of = match whose {
        Some(org) => format!("organisation {} ({}, number {})", org.name, org.slug, org.id),
        None => "the whole site".to_owned(),
    };
    let tables = SHEETS.iter().filter(|sheet| whose.is_none() || sheet.org.is_some());
    let tables: String = tables.map(|sheet| format!("  {:<20} {}\n", sheet.name, sheet.about)).collect();
    let backups = match (whose, backups) {
        (_, 0) => {
            "None: the audit trail tells of no backup and of no restore. If the site is backed up with another tool, its records are there."
        }
        (Some(_), _) => "They are of the whole site: the evidence of the site has the table backups.",
        (None, _) => {
            "The table backups has what the audit trail tells of them. What another tool backs up is not in it."
        }
    };
    let logs = if whose.is_some() { "audit/organization-N.checkpoint" } else { "audit/*.checkpoint" };
    format!(
        "Evidence of {of}\n\
         Made {now} by ResoftAI {version}. That it was taken is an entry of the audit trail.\n\n\
         Tables, each as .json and as .csv (UTF-8; a cell that a spreadsheet would take for a formula begins with an apostrophe):\n\n\
         {tables}  {:<20} {ROLES}\n  {:<20} {POLICY}\n\n\
         Rows are read page by page while the archive is made: a change made meanwhile may be in one table and not in another.\n\
         Times are UTC. No password, token or key is in here: of secrets only whether they are set.\n\n\
         The audit trail\n\n\
         {logs} is the log's newest checkpoint: a signed note (C2SP tlog-checkpoint) over all entries of then.\n\
         audit_logs has the key it verifies with. Compare that key with the one that you were given by another way.\n\
         Keep the checkpoint. A copy of the log that was taken later proves with it that nothing of before was changed:\n\n\
         \x20   resoftai audit log --org SLUG --out copy\n\
         \x20   resoftai audit verify copy --key KEY --checkpoint {logs}\n\n\
         Any tool for C2SP checkpoints verifies it too, such as Go's golang.org/x/mod/sumdb.\n\n\
         Backups and restores\n\n\
         {backups}\n\n\
         Whether this archive is whole\n\n\
         \x20   sha256sum -c SHA256SUMS\n\n\
         manifest.json lists the same for programs.\n",
        "built_in_roles",
        "policy",
        version = env!("CARGO_PKG_VERSION"),
    )
}

const ROLES: &str = "The roles that every organisation has, with what each allows.";
const POLICY: &str = "What the rules are set to: passwords, sessions, tokens, retention, the version.";
