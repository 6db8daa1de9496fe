//! The annotations of the schema: a table each, a line a group of columns.
//!
//! Invariant: whoever adds a column says here what it holds; the test in `tests.rs` names those that are missing. A column
//! is personal when it says something about a person; what people write for their organisation is its work.

use super::inventory::{Class, Elsewhere, Group, Purpose, Rows, Table};
use super::market;
use super::purposes::{
    ACCESS, ACCOUNT, AUTHOR, CONTACT, ERASURE, INVITED, MAIL, NOTICE, PROOF, SIGN_IN, START, TOKEN, TRAIL, USE,
};

/// About nobody.
pub(super) const fn plain(columns: &'static str) -> Group {
    Group { columns, class: Class::None, purpose: None }
}

/// Written for the organisation.
pub(super) const fn work(columns: &'static str) -> Group {
    Group { columns, class: Class::Work, purpose: None }
}

pub(super) const fn about(columns: &'static str, class: Class, purpose: &'static Purpose) -> Group {
    Group { columns, class, purpose: Some(purpose) }
}

/// A table that is about nobody.
pub(super) const fn nobody(name: &'static str, holds: &'static str, groups: &'static [Group]) -> Table {
    Table { name, holds, rows: Rows::Nobody, deleted: false, key: &[], groups }
}

/// Those without a foreign key to `users` first, `users` last: erasing goes in this order.
pub static TABLES: &[Table] = &[
    Table {
        name: "sessions",
        holds: "A sign-in",
        rows: Rows::Number("user_id"),
        deleted: true,
        key: &["id"],
        groups: &[
            plain("id"),
            about("user_id", Class::Number, &SIGN_IN),
            about("created_at expires_at revoked_at last_seen_at ip_address user_agent", Class::Personal, &SIGN_IN),
            about("strong? sso_provider_id? held_to?", Class::Personal, &SIGN_IN),
        ],
    },
    Table {
        name: "sso_links",
        holds: "Who somebody is at an identity provider",
        rows: Rows::Number("user_id"),
        deleted: true,
        key: &["id"],
        groups: &[
            plain("id provider_id"),
            about("user_id", Class::Number, &SIGN_IN),
            about("subject created_at last_used_at", Class::Personal, &SIGN_IN),
        ],
    },
    Table {
        name: "old_passwords",
        holds: "A password somebody had before",
        rows: Rows::Number("user_id"),
        deleted: true,
        key: &["id"],
        groups: &[plain("id"), about("user_id", Class::Number, &PROOF), about("password_hash", Class::Secret, &PROOF)],
    },
    Table {
        name: "password_resets",
        holds: "A code that sets another password",
        rows: Rows::Number("user_id"),
        deleted: true,
        key: &["user_id"],
        groups: &[
            about("user_id", Class::Number, &PROOF),
            about("code_hash", Class::Secret, &PROOF),
            about("expires_at", Class::Personal, &PROOF),
        ],
    },
    Table {
        name: "second_factors",
        holds: "The app whose codes somebody signs in with",
        rows: Rows::Number("user_id"),
        deleted: true,
        key: &["user_id"],
        groups: &[
            about("user_id", Class::Number, &PROOF),
            about("secret_sealed", Class::Secret, &PROOF),
            about("enabled_at", Class::Personal, &PROOF),
        ],
    },
    Table {
        name: "second_factor_uses",
        holds: "A code of the app that was used, by its half minute",
        rows: Rows::Number("user_id"),
        deleted: true,
        key: &["user_id", "step"],
        groups: &[plain("id"), about("user_id", Class::Number, &PROOF), about("step", Class::Personal, &PROOF)],
    },
    Table {
        name: "recovery_codes",
        holds: "A code for who lost the app; the code itself is not kept",
        rows: Rows::Number("user_id"),
        deleted: true,
        key: &["id"],
        groups: &[plain("id"), about("user_id", Class::Number, &PROOF), about("code_hash", Class::Secret, &PROOF)],
    },
    Table {
        name: "passkeys",
        holds: "A key on a device that signs somebody in; only its public half is kept",
        rows: Rows::Number("user_id"),
        deleted: true,
        key: &["id"],
        groups: &[
            plain("id"),
            about("user_id", Class::Number, &PROOF),
            about("name site created_at last_used_at", Class::Personal, &PROOF),
            about("credential_hash credential", Class::Secret, &PROOF),
        ],
    },
    Table {
        name: "personal_tokens",
        holds: "A personal token; the token itself is not kept",
        rows: Rows::Number("user_id"),
        deleted: true,
        key: &["id"],
        groups: &[
            plain("id"),
            about("user_id", Class::Number, &TOKEN),
            plain("organization_id"),
            about("name scopes created_at expires_at last_used_at last_used_ip", Class::Personal, &TOKEN),
            about("token_hash", Class::Secret, &PROOF),
        ],
    },
    Table {
        name: "notices",
        holds: "What the site told somebody",
        rows: Rows::Number("user_id"),
        deleted: true,
        key: &["id"],
        groups: &[
            plain("id organization_id"),
            about("user_id", Class::Number, &NOTICE),
            about("kind link created_at read_at mailed_at", Class::Personal, &NOTICE),
            about("text", Class::Mention, &NOTICE),
        ],
    },
    market::SUBMISSIONS,
    market::VOTES,
    market::REVIEWS,
    Table {
        name: "notice_preferences",
        holds: "Which notices somebody wants as mails",
        rows: Rows::Number("user_id"),
        deleted: true,
        key: &["user_id"],
        groups: &[about("user_id", Class::Number, &NOTICE), about("mail", Class::Personal, &NOTICE)],
    },
    Table {
        name: "mails",
        holds: "A mail to somebody",
        rows: Rows::Number("user_id"),
        deleted: true,
        key: &["id"],
        groups: &[
            plain("id kind about_id state attempts job_id next_attempt_at created_at settled_at"),
            about("user_id", Class::Number, &MAIL),
            about("recipient recipient_key last_error", Class::Personal, &MAIL),
            about("subject", Class::Mention, &MAIL),
            about("body", Class::Secret, &MAIL),
        ],
    },
    Table {
        name: "invitations",
        holds: "An invitation; whoever accepted it",
        rows: Rows::Number("accepted_by"),
        deleted: true,
        key: &["id"],
        groups: &[
            plain("id organization_id team_id"),
            about("invited_by accepted_by", Class::Number, &INVITED),
            about("email email_key role created_at expires_at accepted_at revoked_at", Class::Personal, &INVITED),
            about("code_hash", Class::Secret, &PROOF),
        ],
    },
    Table {
        name: "role_grants",
        holds: "A role held",
        rows: Rows::Number("user_id"),
        deleted: true,
        key: &["id"],
        groups: &[
            plain("id"),
            about("user_id", Class::Number, &ACCESS),
            about("role organization_id team_id granted_at", Class::Personal, &ACCESS),
            about("granted_by", Class::Number, &ACCESS),
        ],
    },
    Table {
        name: "mirror_repositories",
        holds: "A repository that is mirrored",
        rows: Rows::Number("imported_by"),
        deleted: false,
        key: &["name"],
        groups: &[
            plain("name pinned_sha256 pinned_version pinned_at root_version root_expires timestamp_version"),
            plain(
                "timestamp_expires snapshot_version snapshot_expires targets_version targets_expires imported_at revision",
            ),
            about("imported_by", Class::Number, &AUTHOR),
        ],
    },
    Table {
        name: "projects",
        holds: "A project",
        rows: Rows::Name("created_by"),
        deleted: false,
        key: &["id"],
        groups: &[
            plain("id organization_id team_id status created_at updated_at file_count latest_run_id"),
            plain("quality_gate"),
            work("name requirements"),
            about("created_by_id", Class::Number, &AUTHOR),
            about("created_by", Class::Name, &AUTHOR),
        ],
    },
    Table {
        name: "files",
        holds: "A file of a project, by who changed it last",
        rows: Rows::Name("updated_by"),
        deleted: false,
        key: &["id"],
        groups: &[
            plain("id project_id language size version sha256 created_at updated_at"),
            work("path path_key"),
            about("updated_by", Class::Name, &AUTHOR),
        ],
    },
    Table {
        name: "file_versions",
        holds: "A version of a file",
        rows: Rows::Name("created_by"),
        deleted: false,
        key: &["file_id", "version"],
        groups: &[
            plain("file_id version sha256 size created_at"),
            about("created_by_id", Class::Number, &AUTHOR),
            about("created_by", Class::Name, &AUTHOR),
        ],
    },
    Table {
        name: "together_documents",
        holds: "A file that is edited together",
        rows: Rows::Nobody,
        deleted: false,
        key: &["file_id"],
        groups: &[
            plain("file_id epoch crlf? base_version state_seq seq saved_seq changed_at"),
            work("base_state state"),
        ],
    },
    Table {
        name: "together_updates",
        holds: "Changes of a file that is edited together",
        rows: Rows::Nobody,
        deleted: false,
        key: &["file_id", "seq"],
        groups: &[plain("file_id seq"), work("data")],
    },
    Table {
        name: "together_editors",
        holds: "Somebody whose changes of a file are not yet a version of it",
        rows: Rows::Number("user_id"),
        deleted: false,
        key: &["file_id", "editor"],
        groups: &[
            plain("file_id seq token_id"),
            about("user_id", Class::Number, &AUTHOR),
            about("editor", Class::Name, &AUTHOR),
        ],
    },
    Table {
        name: "runs",
        holds: "A run that somebody started",
        rows: Rows::Number("started_by"),
        deleted: false,
        key: &["id"],
        groups: &[
            plain("id project_id organization_id model status stage role iteration max_iterations skip_ui_design?"),
            plain(
                "plan place token_id token_budget tokens_used error_code created_at started_at finished_at step_job last_event",
            ),
            work("requirement error_detail held"),
            about("started_by", Class::Number, &AUTHOR),
            about("created_by", Class::Name, &AUTHOR),
            about("ip_address user_agent", Class::Personal, &START),
        ],
    },
    Table {
        name: "run_events",
        holds: "Something that a run told, its agents' messages among it",
        rows: Rows::Of { column: "run_id", table: "runs", person: "started_by" },
        deleted: false,
        key: &["run_id", "number"],
        groups: &[plain("run_id number name"), about("data", Class::Told, &AUTHOR)],
    },
    Table {
        name: "usage_records",
        holds: "Something used; kept under the person's number only",
        rows: Rows::Number("user_id"),
        deleted: false,
        key: &["id"],
        groups: &[
            plain("id organization_id resource amount project_id model source at"),
            about("user_id", Class::Number, &USE),
            about("metadata", Class::Personal, &USE),
        ],
    },
    Table {
        name: "usage_daily",
        holds: "What was used in a day; kept under the person's number only",
        rows: Rows::Number("user_id"),
        deleted: false,
        key: &["organization_id", "resource", "day", "user_id", "project_id", "model"],
        groups: &[
            plain("organization_id resource day project_id model amount records"),
            about("user_id", Class::Number, &USE),
        ],
    },
    Table {
        name: "audit_entries",
        holds: "An entry of the audit trail",
        rows: Rows::Trail,
        deleted: false,
        key: &["id"],
        groups: &[
            plain(
                "id at organization_id actor_kind action resource_type resource_id success? request_id sealed token_id",
            ),
            about("actor_id person_id", Class::Number, &TRAIL),
            about("actor_name", Class::Name, &TRAIL),
            about("description before_json after_json ip_address user_agent token_name", Class::Personal, &TRAIL),
        ],
    },
    nobody(
        "person_keys",
        "The key that a person's fields in the audit trail are sealed with; erasing the person destroys it",
        &[
            plain("created_at destroyed_at"),
            about("person_id", Class::Number, &TRAIL),
            about("key", Class::Secret, &TRAIL),
        ],
    ),
    nobody(
        "audit_logs",
        "A Merkle log over entries of the audit trail",
        &[plain("id origin verifier_key size checkpoint checkpoint_at")],
    ),
    nobody("audit_leaves", "The place of an entry in its log", &[plain("log_id position entry_id")]),
    nobody("audit_tiles", "Hashes of a log", &[plain("log_id level number hashes")]),
    nobody(
        "audit_retention",
        "How long an organisation keeps its audit trail",
        &[plain("organization_id days due_before advanced_at")],
    ),
    nobody("audit_drops", "What was dropped of an audit trail", &[plain("id organization_id before_at at")]),
    nobody("audit_dropped", "An entry of an audit trail that was dropped", &[plain("entry_id drop_id")]),
    nobody("audit_pending", "An entry that has no place yet", &[plain("entry_id")]),
    nobody(
        "organizations",
        "An organisation",
        &[
            plain("id name name_key slug tier created_at display_name settings"),
            plain("suspended_at suspended_reason deletion_due deletion_job purging_at"),
            about("contact_email", Class::Address, &CONTACT),
        ],
    ),
    nobody(
        "organization_logos",
        "How an organisation looks",
        &[plain("organization_id media_type sha256"), work("bytes")],
    ),
    nobody(
        "teams",
        "A team",
        &[
            plain("id organization_id slug settings is_default? created_at updated_at"),
            work("name name_key description"),
        ],
    ),
    nobody(
        "roles",
        "A role an organisation made",
        &[plain("id organization_id code permissions created_at updated_at"), work("name name_key description")],
    ),
    nobody(
        "quotas",
        "What an organisation, a team or a person may use; a person by number only",
        &[
            plain("id organization_id resource scope limit_value period mode thresholds per_minute custom?"),
            plain("override_limit override_until"),
            about("scope_id", Class::Number, &USE),
            work("override_reason"),
        ],
    ),
    nobody("quota_counters", "What is used of a quota", &[plain("quota_id period used granted warned blocked")]),
    nobody(
        "quota_grants",
        "What a running server holds of a quota",
        &[plain("process quota_id period amount renewed_at")],
    ),
    nobody("quota_batches", "The last batch of use that a server wrote", &[plain("process batch")]),
    nobody("quota_site", "Where the site's days begin", &[plain("id time_zone")]),
    nobody(
        "llm_providers",
        "A model server",
        &[plain("id organization_id name base_url api_key_sealed models context_length created_at updated_at")],
    ),
    nobody(
        "audit_forwards",
        "Where the audit trail is sent, and how far that is",
        &[plain("destination started_at holder held_until sent last_sent_at last_error failing_since told_at")],
    ),
    nobody("audit_forward_cursors", "How far a log was sent", &[plain("destination log_id position")]),
    nobody(
        "jobs",
        "Work waiting in the queue",
        &[plain("id kind payload run_at set_at attempts locked_by locked_until last_error dead_at")],
    ),
    nobody(
        "findings",
        "What a plugin found in a file",
        &[plain("id file_id project_id file_version plugin type severity line"), work("message code recommendation")],
    ),
    nobody("file_scores", "What a plugin makes of a file", &[plain("file_id plugin score")]),
    nobody(
        "analyses",
        "An analysis that somebody asked for",
        &[plain("project_id number status files files_done last_file_id started_at finished_at"), work("paths error")],
    ),
    nobody(
        "plugins",
        "An installed plugin",
        &[plain(
            "id slug config status error learned calls failures installed_at everywhere site_error config_sealed revision",
        )],
    ),
    nobody(
        "plugin_log_lines",
        "What a plugin wrote into its log",
        &[plain("id plugin_id organization_id at level"), work("text")],
    ),
    nobody(
        "plugin_figures",
        "How a plugin's calls went, in pieces of time",
        &[plain("plugin_id organization_id name span at bin calls failures skipped memory_bytes")],
    ),
    nobody(
        "plugin_scans",
        "What the last scan of an installed plugin found",
        &[plain("plugin_id version package_sha256 rules_version verdict reason report scanned_at")],
    ),
    nobody(
        "plugin_activations",
        "What an organisation made of a plugin",
        &[plain("plugin_id organization_id enabled error granted config_sealed updated_at revision")],
    ),
    nobody(
        "run_stages",
        "A stage of a run",
        &[plain("run_id place stage role status attempts tokens started_at finished_at"), work("summary")],
    ),
    nobody(
        "erasures",
        "Somebody who was erased, by number",
        &[about("person_id", Class::Number, &ERASURE), plain("account_created_at erased_at")],
    ),
    nobody(
        "sign_in_failures",
        "Failed sign-ins of a name or address, under its digest, for minutes",
        &[plain("key_hash failures until_at forgiven_at")],
    ),
    nobody(
        "answered_challenges",
        "A challenge to a passkey that was answered, under its digest, for a day",
        &[plain("ticket_hash expires_at")],
    ),
    nobody(
        "sso_providers",
        "An identity provider whose people sign in",
        &[plain(
            "id organization_id name slug enabled domains provision default_role second_factor attributes roles \
             roles_within connection certificate secret_sealed end_told created_at updated_at",
        )],
    ),
    nobody("sso_spent", "A sign-in that was finished, under its digest, for a day", &[plain("hash expires_at")]),
    nobody(
        "mirror_metadata",
        "A file of the metadata of a repository that is mirrored",
        &[plain("repository name content")],
    ),
    nobody(
        "mirror_contents",
        "What a repository that is mirrored lists",
        &[plain("repository name kind slug version title description words sha256 length")],
    ),
    nobody(
        "backup_target",
        "Where backups go",
        &[plain("slot folder repository_id key_sealed keep schedule set_at next_at")],
    ),
    nobody(
        "backups",
        "A backup that was taken",
        &[plain("id repository_id name status began_at finished_at summary error proof")],
    ),
    nobody("mirror_wanted", "A content that an import is bringing in", &[plain("sha256 wanted_at")]),
    market::INSTALLS,
    market::PACKAGES,
    market::PLUGINS,
    market::WORDS,
    market::COLLECTIONS,
    market::UPDATE_POLICIES,
    market::UPDATE_WINDOW,
    market::UPDATE_DECISIONS,
    market::UPDATE_TRIALS,
    market::UPDATE_HISTORY,
    nobody("mirror_told", "What was told of a mirrored state's end", &[plain("repository expires_at mark told_at")]),
    nobody("installation", "This site, as its vendor knows it", &[plain("slot id made_at seen_at")]),
    nobody("licences", "A licence of the site", &[plain("id serial token installed_at")]),
    nobody("licence_notices", "What was told of a licence", &[plain("serial mark told_at")]),
    nobody("revocation_lists", "A vendor's list of revoked licences", &[plain("key_id number issued_at installed_at")]),
    nobody("revoked_licences", "A licence on such a list", &[plain("serial key_id")]),
    nobody("seat_peaks", "The most accounts in use in a month", &[plain("month seats")]),
    nobody("ids", "The counter that numbers come from", &[plain("last")]),
    nobody("schema_migrations", "A step of the schema", &[plain("version name checksum applied_at")]),
    Table {
        name: "users",
        holds: "An account",
        rows: Rows::Number("id"),
        deleted: true,
        key: &["id"],
        groups: &[
            about("id", Class::Number, &ACCOUNT),
            plain("service_of description"),
            about("username username_key email email_key is_active? created_at", Class::Personal, &ACCOUNT),
            about("password_hash", Class::Secret, &PROOF),
        ],
    },
];

/// What is held outside of the database.
pub static ELSEWHERE: &[Elsewhere] = &[
    Elsewhere {
        place: "logs/ in the data directory",
        what: "Addresses of requests that were refused, without names and without network addresses",
        why: "To find faults",
        kept: "Until the files are rotated",
        at_erasure: "Nothing: they name nobody",
    },
    Elsewhere {
        place: "blobs/ in the data directory",
        what: "Contents of the files of projects: whatever people and agents wrote into them",
        why: "They are the work of the organisation",
        kept: "As long as a version of a file has them, and up to 12 hours longer",
        at_erasure: "Kept: they belong to the organisation, which removes a person from them where that is due",
    },
    Elsewhere {
        place: "kv.redb in the data directory",
        what: "What plugins keep for themselves",
        why: "Plugins say so in their manifests",
        kept: "Until the plugin is removed",
        at_erasure: "Kept: plugins are not told who somebody is",
    },
    Elsewhere {
        place: "Backups",
        what: "Everything the database held when they were made",
        why: "To restore the site",
        kept: "Until they are rotated out",
        at_erasure: "Kept until then; a server started on a restored database repeats the erasures first",
    },
];
