//! The schema's history: every step once, in order, each in its own transaction, checked against what this build knows.
//!
//! Invariant: a step that ran is never edited, and a database that knows more than this build is not touched.
//!
//! To add a step: write `migrations/NNNN_name.sql` (one text for both engines; `.sqlite.sql` and `.postgres.sql` beside it
//! for what cannot be one text, run after it), then add its line to [`BUILTIN`]. Steps must not BEGIN or COMMIT.

use aws_lc_rs::digest::{SHA256, digest};

use super::error::DbError;
use super::tx::Tx;
use super::{Engine, params};
use crate::base::error::{Error, Result};

/// Every step of this build, oldest first.
pub const BUILTIN: &[Migration] = &[
    Migration::new(1, "init", include_str!("../../migrations/0001_init.sql")).dialects(
        include_str!("../../migrations/0001_init.sqlite.sql"),
        include_str!("../../migrations/0001_init.postgres.sql"),
    ),
    Migration::new(2, "audit_append_only", "").dialects(
        include_str!("../../migrations/0002_audit_append_only.sqlite.sql"),
        include_str!("../../migrations/0002_audit_append_only.postgres.sql"),
    ),
    Migration::new(10, "llm", include_str!("../../migrations/0010_llm.sql")),
    Migration::new(18, "jobs", include_str!("../../migrations/0018_jobs.sql")),
    Migration::new(20, "project_files", include_str!("../../migrations/0020_project_files.sql")),
    Migration::new(30, "plugins", include_str!("../../migrations/0030_plugins.sql")),
    Migration::new(40, "runs", include_str!("../../migrations/0040_runs.sql")),
    Migration::new(41, "run_origin", include_str!("../../migrations/0041_run_origin.sql")),
    Migration::new(44, "llm_provider_names", "").dialects(
        include_str!("../../migrations/0044_llm_provider_names.sqlite.sql"),
        include_str!("../../migrations/0044_llm_provider_names.postgres.sql"),
    ),
    Migration::new(45, "audit_no_replace", "")
        .dialects(include_str!("../../migrations/0045_audit_no_replace.sqlite.sql"), ""),
    Migration::new(50, "teams_and_roles", include_str!("../../migrations/0050_teams_and_roles.sql")).dialects(
        include_str!("../../migrations/0050_teams_and_roles.sqlite.sql"),
        include_str!("../../migrations/0050_teams_and_roles.postgres.sql"),
    ),
    Migration::new(55, "notices", include_str!("../../migrations/0055_notices.sql")),
    Migration::new(56, "organizations", include_str!("../../migrations/0056_organizations.sql")),
    Migration::new(57, "invitations", include_str!("../../migrations/0057_invitations.sql")),
    Migration::new(60, "sessions_and_passwords", include_str!("../../migrations/0060_sessions_and_passwords.sql")),
    Migration::new(61, "sign_in_failures", include_str!("../../migrations/0061_sign_in_failures.sql")),
    Migration::new(70, "quotas", include_str!("../../migrations/0070_quotas.sql")).dialects(
        include_str!("../../migrations/0070_quotas.sqlite.sql"),
        include_str!("../../migrations/0070_quotas.postgres.sql"),
    ),
    Migration::new(80, "audit_logs", "").dialects(
        include_str!("../../migrations/0080_audit_logs.sqlite.sql"),
        include_str!("../../migrations/0080_audit_logs.postgres.sql"),
    ),
    Migration::new(85, "audit_sealing", include_str!("../../migrations/0085_audit_sealing.sql")),
    Migration::new(86, "audit_search", include_str!("../../migrations/0086_audit_search.sql")),
    Migration::new(87, "audit_retention", include_str!("../../migrations/0087_audit_retention.sql")).dialects(
        include_str!("../../migrations/0087_audit_retention.sqlite.sql"),
        include_str!("../../migrations/0087_audit_retention.postgres.sql"),
    ),
    Migration::new(95, "erasures", include_str!("../../migrations/0095_erasures.sql")),
    Migration::new(100, "second_factors", include_str!("../../migrations/0100_second_factors.sql")),
    Migration::new(101, "passkeys", include_str!("../../migrations/0101_passkeys.sql")),
    Migration::new(105, "token_scopes", include_str!("../../migrations/0105_token_scopes.sql")),
    Migration::new(106, "service_accounts", include_str!("../../migrations/0106_service_accounts.sql")),
    Migration::new(110, "mails", include_str!("../../migrations/0110_mails.sql")),
    Migration::new(111, "mailed_notices", include_str!("../../migrations/0111_mailed_notices.sql")),
    Migration::new(112, "audit_forward", include_str!("../../migrations/0112_audit_forward.sql")),
    Migration::new(130, "unused_contents", include_str!("../../migrations/0130_unused_contents.sql")),
    Migration::new(131, "plugin_activations", include_str!("../../migrations/0131_plugin_activations.sql")),
    Migration::new(150, "job_set_at", include_str!("../../migrations/0150_job_set_at.sql")),
    Migration::new(151, "audit_retention_pace", include_str!("../../migrations/0151_audit_retention_pace.sql")),
    Migration::new(152, "mail_about", include_str!("../../migrations/0152_mail_about.sql")),
    Migration::new(153, "run_token", include_str!("../../migrations/0153_run_token.sql")),
    Migration::new(154, "audit_forward_told", include_str!("../../migrations/0154_audit_forward_told.sql")),
    Migration::new(155, "audit_waiting", "").dialects(
        include_str!("../../migrations/0155_audit_waiting.sqlite.sql"),
        include_str!("../../migrations/0155_audit_waiting.postgres.sql"),
    ),
    Migration::new(156, "plugin_settings", include_str!("../../migrations/0156_plugin_settings.sql")),
    Migration::new(157, "plugin_logs", include_str!("../../migrations/0157_plugin_logs.sql")),
    Migration::new(158, "quality", include_str!("../../migrations/0158_quality.sql")),
    Migration::new(159, "quality_gates", include_str!("../../migrations/0159_quality_gates.sql")),
    Migration::new(160, "run_plans", include_str!("../../migrations/0160_run_plans.sql")),
    Migration::new(165, "plugin_revisions", include_str!("../../migrations/0165_plugin_revisions.sql")),
    Migration::new(170, "sso", include_str!("../../migrations/0170_sso.sql")),
    Migration::new(175, "together", include_str!("../../migrations/0175_together.sql")),
    Migration::new(176, "plugin_figures", include_str!("../../migrations/0176_plugin_figures.sql")),
    Migration::new(180, "licence", include_str!("../../migrations/0180_licence.sql")),
    Migration::new(185, "mirror", include_str!("../../migrations/0185_mirror.sql")),
    Migration::new(186, "mirror_told", include_str!("../../migrations/0186_mirror_told.sql")),
    Migration::new(187, "backups", include_str!("../../migrations/0187_backups.sql")),
    Migration::new(188, "plugin_scans", include_str!("../../migrations/0188_plugin_scans.sql")),
    Migration::new(189, "plugin_installs", include_str!("../../migrations/0189_plugin_installs.sql")),
    Migration::new(190, "market", include_str!("../../migrations/0190_market.sql")),
    Migration::new(191, "market_words", "").dialects(
        include_str!("../../migrations/0191_market_words.sqlite.sql"),
        include_str!("../../migrations/0191_market_words.postgres.sql"),
    ),
    Migration::new(192, "market_reviews", include_str!("../../migrations/0192_market_reviews.sql")),
    Migration::new(193, "market_collections", include_str!("../../migrations/0193_market_collections.sql")),
    Migration::new(194, "market_submissions", include_str!("../../migrations/0194_market_submissions.sql")),
    Migration::new(195, "plugin_updates", include_str!("../../migrations/0195_plugin_updates.sql")),
];

/// One step of the schema.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Unique and growing; the number in the file's name.
    pub version: i64,
    /// The rest of the file's name.
    pub name: &'static str,
    /// Statements for both engines, may be empty.
    pub common: &'static str,
    /// Statements that follow on SQLite only.
    pub sqlite: &'static str,
    /// Statements that follow on PostgreSQL only.
    pub postgres: &'static str,
}

impl Migration {
    /// A step whose text is the same on both engines.
    pub const fn new(version: i64, name: &'static str, common: &'static str) -> Self {
        Self { version, name, common, sqlite: "", postgres: "" }
    }

    /// Adds what each engine needs in its own words.
    #[must_use]
    pub const fn dialects(self, sqlite: &'static str, postgres: &'static str) -> Self {
        Self { sqlite, postgres, ..self }
    }

    fn own(&self, engine: Engine) -> &'static str {
        match engine {
            Engine::Sqlite => self.sqlite,
            Engine::Postgres => self.postgres,
        }
    }

    fn checksum(&self, engine: Engine) -> String {
        let text = [self.common, "\n", self.own(engine)].concat();
        digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// How a database's schema stands to this build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The newest step that ran: `0123_name`.
    pub newest: String,
    pub applied: usize,
    /// Steps of this build that did not run yet.
    pub outstanding: usize,
}

/// Compares without changing anything.
///
/// # Errors
/// `database_newer` and `migration_changed`; those of the database, for one that is no site's too.
pub(super) fn standing(tx: &mut Tx<'_>, engine: Engine, migrations: &[Migration]) -> Result<Standing> {
    let applied = applied(tx)?;
    check(&applied, engine, migrations)?;
    let newest = applied.last().map_or_else(String::new, |(version, name, _)| format!("{version:04}_{name}"));
    Ok(Standing { newest, applied: applied.len(), outstanding: migrations.len() - applied.len() })
}

fn applied(tx: &mut Tx<'_>) -> Result<Vec<(i64, String, String)>, DbError> {
    let read = "SELECT version, name, checksum FROM schema_migrations ORDER BY version";
    tx.query_map(read, &[], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
}

/// The steps that ran, with their times.
pub(super) fn list(tx: &mut Tx<'_>) -> Result<Vec<(i64, String, i64)>, DbError> {
    let read = "SELECT version, name, applied_at FROM schema_migrations ORDER BY version";
    tx.query_map(read, &[], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
}

/// Applies the next outstanding step inside `tx`, which must be exclusive among migrating processes. False: none left.
pub(super) fn step(tx: &mut Tx<'_>, engine: Engine, migrations: &[Migration]) -> Result<bool> {
    tx.batch(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT NOT NULL, name TEXT NOT NULL, \
         checksum TEXT NOT NULL, applied_at BIGINT NOT NULL, CONSTRAINT pk_schema_migrations PRIMARY KEY (version))",
    )?;
    let applied = applied(tx)?;
    check(&applied, engine, migrations)?;
    let done = applied.last().map_or(i64::MIN, |(version, ..)| *version);
    let Some(next) = migrations.iter().find(|migration| migration.version > done) else { return Ok(false) };
    apply(tx, engine, next).map_err(|cause| {
        let sentence = format!(
            "Step {:04}_{} of the database's schema failed and was undone; the database is as it was. \
             Start the previous version and report this with the log.",
            next.version, next.name
        );
        Error::unavailable("migration_failed", sentence).caused_by(cause)
    })?;
    Ok(true)
}

fn apply(tx: &mut Tx<'_>, engine: Engine, next: &Migration) -> Result<(), DbError> {
    for text in [next.common, next.own(engine)] {
        if !text.trim().is_empty() {
            tx.batch(text)?;
        }
    }
    // The engine's clock: these times are for people only, no rule reads them.
    let now = match engine {
        Engine::Sqlite => "CAST(unixepoch('subsec') * 1000000 AS BIGINT)",
        Engine::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
    };
    let insert =
        format!("INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, {now})");
    tx.execute(&insert, &params![next.version, next.name, next.checksum(engine)]).map(drop)
}

/// The applied steps must be the first of ours, unchanged.
fn check(applied: &[(i64, String, String)], engine: Engine, migrations: &[Migration]) -> Result<()> {
    for (place, (version, name, checksum)) in applied.iter().enumerate() {
        let Some(known) = migrations.get(place).filter(|known| known.version == *version) else {
            let sentence = format!(
                "The database has schema step {version:04}_{name}, which this version does not know: it was written by \
                 a newer version. Start that version, or restore a backup made by this one."
            );
            return Err(Error::unavailable("database_newer", sentence));
        };
        if known.checksum(engine) != *checksum {
            let sentence = format!(
                "Schema step {version:04}_{name} in the database is not the one this version carries. Nothing was \
                 changed. Use the version that created this database, or restore a backup made by this one."
            );
            return Err(Error::unavailable("migration_changed", sentence));
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_in_the_table_and_in_order() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut files: Vec<String> = files.map(|file| file.file_name().into_string().unwrap()).collect();
        files.retain(|file| file.ends_with(".sql"));
        let mut stems: Vec<&str> = files.iter().map(|file| file.split('.').next().unwrap()).collect();
        stems.sort_unstable();
        stems.dedup();
        let known: Vec<String> = BUILTIN.iter().map(|step| format!("{:04}_{}", step.version, step.name)).collect();
        assert_eq!(stems, known);
    }

    #[test]
    fn an_edited_unknown_or_skipped_step_is_refused() {
        let ours = [Migration::new(1, "one", "A"), Migration::new(2, "two", "B")];
        let row = |step: &Migration| (step.version, step.name.to_owned(), step.checksum(Engine::Sqlite));
        let code = |applied: &[(i64, String, String)]| check(applied, Engine::Sqlite, &ours).map_err(|e| e.code());
        assert_eq!(code(&[row(&ours[0])]), Ok(()));
        assert_eq!(code(&[row(&ours[0]), row(&ours[1]), row(&Migration::new(3, "x", ""))]), Err("database_newer"));
        assert_eq!(code(&[row(&Migration::new(1, "one", "A "))]), Err("migration_changed"));
        assert_eq!(code(&[row(&ours[1])]), Err("database_newer"));
    }
}
