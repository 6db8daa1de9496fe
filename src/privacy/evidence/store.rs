//! All SQL of the evidence: its tables, and the few numbers that the rules are told with.

use super::Sheet;
use crate::access::OrgId;
use crate::base::error::Result;
use crate::db::{DbError, Tx, Val, params};

/// Every table that is read from the database, in the order of the archive.
pub const SHEETS: &[Sheet] = &[
    Sheet {
        name: "access_review",
        about: "Who holds which role where, since when, and who gave it.",
        key: "g.id",
        from: "role_grants g JOIN users u ON u.id = g.user_id LEFT JOIN organizations o ON o.id = g.organization_id \
               LEFT JOIN teams t ON t.id = g.team_id LEFT JOIN users b ON b.id = g.granted_by",
        columns: &[
            ("assignment_id", "g.id"),
            ("user_id", "g.user_id"),
            ("username", "u.username"),
            ("is_active", "u.is_active"),
            ("role", "g.role"),
            ("organization_id", "g.organization_id"),
            ("organization", "o.slug"),
            ("team_id", "g.team_id"),
            ("team", "t.slug"),
            ("granted_at", "g.granted_at"),
            ("granted_by_id", "g.granted_by"),
            ("granted_by", "b.username"),
        ],
        org: Some("g.organization_id = $3"),
    },
    Sheet {
        name: "people",
        about: "Every account, also those that were switched off, when it was last used, and since when it has a second factor.",
        key: "u.id",
        from: "users u",
        columns: &[
            ("user_id", "u.id"),
            ("username", "u.username"),
            ("email", "u.email"),
            // A program's account, of this organisation.
            ("service_account_of", "u.service_of"),
            ("is_active", "u.is_active"),
            ("created_at", "u.created_at"),
            ("second_factor_at", "(SELECT f.enabled_at FROM second_factors f WHERE f.user_id = u.id)"),
            (
                "last_seen_at",
                "(SELECT MAX(COALESCE(s.last_seen_at, s.created_at)) FROM sessions s WHERE s.user_id = u.id)",
            ),
        ],
        org: Some("EXISTS (SELECT 1 FROM role_grants g WHERE g.user_id = u.id AND g.organization_id = $3)"),
    },
    Sheet {
        name: "passkeys",
        about: "Passkeys: whose, when they were made and last used. Never the key.",
        key: "p.id",
        from: "passkeys p JOIN users u ON u.id = p.user_id",
        columns: &[
            ("passkey_id", "p.id"),
            ("user_id", "p.user_id"),
            ("username", "u.username"),
            ("name", "p.name"),
            ("created_at", "p.created_at"),
            ("last_used_at", "p.last_used_at"),
        ],
        org: Some("EXISTS (SELECT 1 FROM role_grants g WHERE g.user_id = p.user_id AND g.organization_id = $3)"),
    },
    Sheet {
        name: "tokens",
        about: "Access tokens: whose, what for, where they count, until when, last used when. Never the token.",
        key: "t.id",
        from: "personal_tokens t JOIN users u ON u.id = t.user_id",
        columns: &[
            ("token_id", "t.id"),
            ("user_id", "t.user_id"),
            ("username", "u.username"),
            // Where it counts in other organisations too, its name may tell of them.
            ("name", "CASE WHEN t.organization_id IS NOT NULL THEN t.name END"),
            ("scopes_json", "t.scopes"),
            ("organization_id", "t.organization_id"),
            ("created_at", "t.created_at"),
            ("expires_at", "t.expires_at"),
            ("last_used_at", "t.last_used_at"),
        ],
        org: Some(
            "(t.organization_id = $3 OR (t.organization_id IS NULL \
             AND EXISTS (SELECT 1 FROM role_grants g WHERE g.user_id = t.user_id AND g.organization_id = $3)))",
        ),
    },
    Sheet {
        name: "custom_roles",
        about: "Roles that organisations made for themselves, with what each allows.",
        key: "r.id",
        from: "roles r",
        columns: &[
            ("role_id", "r.id"),
            ("organization_id", "r.organization_id"),
            ("code", "r.code"),
            ("name", "r.name"),
            ("description", "r.description"),
            ("permissions_json", "r.permissions"),
            ("created_at", "r.created_at"),
            ("updated_at", "r.updated_at"),
        ],
        org: Some("r.organization_id = $3"),
    },
    Sheet {
        name: "invitations",
        about: "Invitations that were neither accepted nor revoked.",
        key: "i.id",
        from: "(SELECT * FROM invitations WHERE accepted_at IS NULL AND revoked_at IS NULL) i \
               LEFT JOIN users b ON b.id = i.invited_by",
        columns: &[
            ("invitation_id", "i.id"),
            ("organization_id", "i.organization_id"),
            ("team_id", "i.team_id"),
            ("email", "i.email"),
            ("role", "i.role"),
            ("invited_by_id", "i.invited_by"),
            ("invited_by", "b.username"),
            ("created_at", "i.created_at"),
            ("expires_at", "i.expires_at"),
        ],
        org: Some("i.organization_id = $3"),
    },
    Sheet {
        name: "organizations",
        about: "Organisations with their settings, and for how many days they keep their audit trail (none: for ever).",
        key: "o.id",
        from: "organizations o LEFT JOIN audit_retention r ON r.organization_id = o.id",
        columns: &[
            ("organization_id", "o.id"),
            ("slug", "o.slug"),
            ("name", "o.name"),
            ("tier", "o.tier"),
            ("created_at", "o.created_at"),
            ("suspended_at", "o.suspended_at"),
            ("suspended_reason", "o.suspended_reason"),
            ("deleted_at", "o.deletion_due"),
            ("audit_retention_days", "r.days"),
            ("settings_json", "o.settings"),
        ],
        org: Some("o.id = $3"),
    },
    Sheet {
        name: "quotas",
        about: "What may be used: by the organisation, a team or a person (scope_id).",
        key: "q.id",
        from: "quotas q",
        columns: &[
            ("quota_id", "q.id"),
            ("organization_id", "q.organization_id"),
            ("resource", "q.resource"),
            ("scope", "q.scope"),
            ("scope_id", "q.scope_id"),
            ("limit_value", "q.limit_value"),
            ("period", "q.period"),
            ("mode", "q.mode"),
            ("thresholds_json", "q.thresholds"),
            ("per_minute", "q.per_minute"),
            ("override_limit", "q.override_limit"),
            ("override_until", "q.override_until"),
            ("override_reason", "q.override_reason"),
            ("is_custom", "q.custom"),
        ],
        org: Some("q.organization_id = $3"),
    },
    Sheet {
        name: "audit_logs",
        about: "The logs of the audit trail (0: the site's own), their newest checkpoints and the keys those verify with.",
        key: "l.id",
        from: "audit_logs l",
        columns: &[
            ("log_id", "l.id"),
            ("origin", "l.origin"),
            ("verifier_key", "l.verifier_key"),
            ("tree_size", "l.size"),
            ("checkpoint", "l.checkpoint"),
            ("checkpoint_at", "l.checkpoint_at"),
        ],
        org: Some("l.id = $3"),
    },
    Sheet {
        name: "audit_drops",
        about: "What retention dropped: how many entries from before which moment, and when. Their hashes are still in the log.",
        key: "d.id",
        from: "audit_drops d",
        columns: &[
            ("drop_id", "d.id"),
            ("organization_id", "d.organization_id"),
            ("dropped_before_at", "d.before_at"),
            ("dropped_at", "d.at"),
            ("entries", "(SELECT COUNT(*) FROM audit_dropped x WHERE x.drop_id = d.id)"),
        ],
        org: Some("d.organization_id = $3"),
    },
    Sheet {
        name: "backups",
        about: "Backups and restores, made or failed, as the audit trail has them.",
        // Not the bare number: few entries are of these kinds, and the way to them is the index of kinds.
        key: "e.id + 0",
        from: "(SELECT * FROM audit_entries WHERE resource_type IN ('backup', 'restore')) e",
        columns: &[
            ("entry_id", "e.id"),
            ("at", "e.at"),
            ("action", "e.action"),
            ("what", "e.resource_type"),
            ("resource_id", "e.resource_id"),
            ("is_success", "e.success"),
            ("actor_kind", "e.actor_kind"),
            ("actor_id", "e.actor_id"),
        ],
        org: None,
    },
    Sheet {
        name: "erasures",
        about: "People who were erased: numbers and times.",
        key: "e.person_id",
        from: "erasures e",
        columns: &[
            ("person_id", "e.person_id"),
            ("account_created_at", "e.account_created_at"),
            ("erased_at", "e.erased_at"),
        ],
        org: None,
    },
];

/// Rows of a table behind the key `after`, with their keys: at most `limit`.
pub fn page(
    tx: &mut Tx<'_>,
    sheet: &Sheet,
    org: Option<OrgId>,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, Vec<Val>)>, DbError> {
    let mut params = params![after, limit].to_vec();
    let whose = match (org, sheet.org) {
        (None, _) => "TRUE",
        (Some(org), Some(condition)) => {
            params.push(Val::I64(org.0));
            condition
        }
        (Some(_), None) => return Ok(Vec::new()),
    };
    let Sheet { key, from, columns, .. } = sheet;
    let wanted: Vec<&str> = columns.iter().map(|(_, expression)| *expression).collect();
    let sql =
        format!("SELECT {key}, {} FROM {from} WHERE {key} > $1 AND {whose} ORDER BY {key} LIMIT $2", wanted.join(", "));
    tx.query_map(&sql, &params, |row| {
        Ok((row.get(0)?, (1..=columns.len()).map(|at| row.get(at)).collect::<Result<_, _>>()?))
    })
}

/// The newest checkpoints of logs behind `after`, by log.
pub fn checkpoints(tx: &mut Tx<'_>, org: Option<OrgId>, after: i64, limit: i64) -> Result<Vec<(i64, String)>, DbError> {
    let sql = "SELECT id, checkpoint FROM audit_logs WHERE id > $1 AND (id = $3 OR $3 IS NULL) ORDER BY id LIMIT $2";
    tx.query_map(sql, &params![after, limit, org.map(|org| org.0)], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// How many backups and restores the trail tells of.
pub fn backups(tx: &mut Tx<'_>) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM audit_entries WHERE resource_type IN ('backup', 'restore')";
    Ok(tx.query_row(sql, &[], |row| row.get(0))?.unwrap_or(0))
}

/// How many people hold a role over the whole site, and with it in every organisation.
pub fn over_site(tx: &mut Tx<'_>) -> Result<i64> {
    let sql = "SELECT COUNT(DISTINCT user_id) FROM role_grants WHERE organization_id IS NULL";
    Ok(tx.query_row(sql, &[], |row| row.get(0))?.unwrap_or(0))
}
