//! The table: every operation of the API with whose business it is, and a request of it that is good.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Whose;
use super::site::{Names, SSO_METADATA, Site};
use crate::app::PASSWORD;
use crate::model_server::MODEL;
use crate::{mirror, orgs, plugins, vendor};

/// Stands in a body for a code of the second factor that was just set up.
pub(super) const APP_CODE: &str = "a code of the app";
/// The same for the ticket of the challenge that was just given, and for what a device answers to it.
pub(super) const TICKET: &str = "the ticket";
pub(super) const CREDENTIAL: &str = "the credential";
/// The same for a recovery code.
pub(super) const RECOVERY_CODE: &str = "a recovery code";

/// One way to call an operation.
pub(super) struct Case {
    /// As the description has it, such as `GET /api/files/{id}`.
    pub(super) operation: &'static str,
    pub(super) whose: Whose,
    pub(super) address: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

impl Case {
    pub(super) fn new(operation: &'static str, whose: Whose, address: String) -> Self {
        Self { operation, whose, address, headers: Vec::new(), body: Bytes::new() }
    }

    pub(super) fn json(self, body: &Value) -> Self {
        Self { body: Bytes::from(body.to_string()), ..self }.header("content-type", "application/json".to_owned())
    }

    pub(super) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl Site {
    /// Every operation, in an order in which those who may can do one after the other.
    #[allow(clippy::too_many_lines, reason = "it is a table")]
    pub(super) fn cases(&self, names: &Names) -> Vec<Case> {
        use Whose::{Bearer, Draw, List, Own, Personal, Public, Read, Site, Spent, Write};
        let Names { slug, username, org, project, file, run, provider, token, user, notice, entry, .. } = names;
        let Names { session, code, password, invitation, invitations, .. } = names;
        let Names { mail, mate, team, role, assignment, site_assignment, viewer_token, service, .. } = names;
        let Names { passkey, ticket, sso, sso_link, backup, review, collection, submission, .. } = names;
        let elsewhere = self.elsewhere;
        let case = |operation: &'static str, whose: Whose, address: String| Case::new(operation, whose, address);
        let plain = |operation: &'static str, whose: Whose| {
            Case::new(operation, whose, operation.split_once(' ').unwrap().1.to_owned())
        };
        let of = |operation: &'static str, whose: Whose, id: &i64| {
            let address = operation.split_once(' ').unwrap().1.replace("{id}", &id.to_string());
            let address = address
                .replace("{version}", "1")
                .replace("{invitation_id}", &invitation.to_string())
                .replace("{quota}", "projects");
            let address = address.replace("{path}", "entries/000.p/1").replace("/consistency", "/consistency?from=1");
            let address = address.replace("{stage}", "requirement_analysis");
            let address = address.replace("{slug}", "security-scanner");
            let address = address.replace("{account_id}", &service.to_string());
            let address = address.replace("{code}", role).replace("{user_id}", &mate.to_string());
            Case::new(operation, whose, address)
        };
        let plugin = |operation: &'static str, whose: Whose| {
            let address = operation.split_once(' ').unwrap().1.replace("{slug}", "security-scanner");
            Case::new(operation, whose, address)
        };
        let login = json!({"username": "root", "password": PASSWORD});
        let newcomer = json!({"username": "newcomer", "email": "new@example.org", "password": PASSWORD,
            "role": "developer", "organization": slug});
        let chat = json!({"model": MODEL, "max_tokens": 48,
            "messages": [{"role": "user", "content": "Name three colours."}]});
        let another = json!({"name": "another", "base_url": "http://192.0.2.1/v1", "organization_id": org});
        let member = json!({"username": username, "role": "developer"});
        vec![
            plain("GET /healthz", Public),
            plain("GET /readyz", Public),
            plain("GET /api/system", Public),
            plain("POST /api/auth/login", Public).json(&login),
            plain("GET /api/auth/me", Own),
            plain("POST /api/auth/reset", Bearer).json(&json!({"code": code, "password": "a third bright morning"})),
            plain("POST /api/auth/forgot", Public).json(&json!({"email": "nobody@example.org"})),
            plain("GET /api/sessions", Own),
            plain("GET /api/tokens", Own),
            plain("POST /api/tokens", Own).json(&json!({"name": "mine"})),
            plain("GET /api/notices", Own),
            plain("POST /api/notices/read", Own),
            plain("GET /api/notices/preferences", Own),
            plain("PUT /api/notices/preferences", Own).json(&json!({"mail": "all"})),
            plain("GET /api/mail", Site),
            plain("POST /api/mail/test", Site).json(&json!({"address": "nobody@example.org"})),
            plain("GET /api/mails", Site),
            plain("GET /api/licence", Site),
            plain("GET /api/licence/report", Site),
            plain("PUT /api/licence", Site).json(&json!({"licence": vendor::sign(&vendor::claims("walked"))})),
            plain("PUT /api/licence/revocations", Site).json(&json!({"revocations": vendor::sign_list(1, &[])})),
            plain("PUT /api/backup", Site)
                .json(&json!({"folder": self.backups.path(), "passphrase": "correct horse battery"})),
            plain("POST /api/system/reload", Site),
            plain("POST /api/system/support-bundles", Site)
                .json(&json!({"file": "a.tar.gz", "sha256": "0".repeat(64), "length": 1})),
            plain("GET /api/backup", Site),
            plain("PUT /api/backup/plan", Site).json(&json!({
                "keep": {"last": 1, "daily": 1, "weekly": 1, "monthly": 1}, "schedule": {"every": "never"}})),
            plain("POST /api/backup/prune", Site),
            plain("POST /api/backups", Site),
            plain("GET /api/backups", Site),
            case("GET /api/backups/{backup_id}", Site, format!("/api/backups/{backup}")),
            case("POST /api/backups/{backup_id}/verify", Site, format!("/api/backups/{backup}/verify")),
            of("POST /api/mails/{id}/retry", Site, mail),
            of("DELETE /api/mails/{id}", Site, mail),
            of("POST /api/notices/{id}/read", Personal, notice),
            plain("GET /api/permissions", Own),
            plain("GET /api/roles", Own),
            plain("GET /api/plugins", Own),
            plugin("GET /api/plugins/{slug}", Own),
            plugin("GET /api/plugins/{slug}/scan", Own),
            plugin("GET /api/plugins/{slug}/logs", Site),
            plugin("GET /api/plugins/{slug}/metrics", Site),
            case(
                "GET /api/plugins/{slug}/logs",
                Write,
                format!("/api/plugins/security-scanner/logs?organization_id={org}"),
            ),
            plain("GET /api/organizations", List { viewer: true }),
            plain("GET /api/users", List { viewer: true }),
            plain("GET /api/projects", List { viewer: true }),
            case("GET /api/projects", List { viewer: true }, format!("/api/projects?organization_id={org}")),
            plain("GET /api/audit", List { viewer: false }),
            case("GET /api/audit", List { viewer: false }, format!("/api/audit?organization_id={org}")),
            plain("GET /api/privacy/inventory", List { viewer: false }),
            plain("GET /api/users/me/export", Own),
            of("GET /api/users/{id}/export", Site, user),
            plain("GET /api/models", List { viewer: false }),
            plain("GET /v1/models", List { viewer: false }),
            plain("GET /api/llm/providers", List { viewer: false }),
            of("GET /api/audit/{id}", Write, entry),
            of("GET /api/organizations/{id}/audit/retention", Write, org),
            of("PUT /api/organizations/{id}/audit/retention", Write, org).json(&json!({"days": 365})),
            plain("GET /api/audit/export", List { viewer: false }),
            case("GET /api/audit/export", Write, format!("/api/audit/export?format=csv&organization_id={org}")),
            of("GET /api/organizations/{id}/evidence", Write, org),
            plain("GET /api/audit/logs", List { viewer: false }),
            plain("GET /api/audit/forward", Site),
            of("GET /api/audit/{id}/proof", Write, entry),
            of("GET /api/organizations/{id}/audit/log/checkpoint", Write, org),
            of("GET /api/organizations/{id}/audit/log/key", Write, org),
            of("GET /api/organizations/{id}/audit/log/tile/{path}", Write, org),
            of("GET /api/organizations/{id}/audit/log/consistency", Write, org),
            of("GET /api/organizations/{id}/audit/log/check", Write, org),
            plain("GET /api/evidence", Site),
            plain("GET /api/audit/log/checkpoint", Site),
            plain("GET /api/audit/log/key", Site),
            of("GET /api/audit/log/tile/{path}", Site, org),
            of("GET /api/audit/log/consistency", Site, org),
            plain("GET /api/audit/log/check", Site),
            of("GET /api/organizations/{id}", Read, org),
            plain("POST /api/invitations/look", Bearer).json(&json!({"code": invitations[0]})),
            of("GET /api/organizations/{id}/plugins", Read, org),
            of("GET /api/organizations/{id}/workflows", Read, org),
            plain("GET /api/plugin-folder", Site),
            of("GET /api/organizations/{id}/plugins/{slug}", Read, org),
            of("GET /api/organizations/{id}/plugins/{slug}/metrics", Read, org),
            of("GET /api/organizations/{id}/settings", Read, org),
            of("GET /api/organizations/{id}/logo", Read, org),
            of("GET /api/organizations/{id}/members", Read, org),
            of("GET /api/organizations/{id}/quotas", Read, org),
            of("GET /api/organizations/{id}/teams", Read, org),
            of("GET /api/organizations/{id}/roles", Read, org),
            of("GET /api/organizations/{id}/roles/{code}", Read, org),
            of("GET /api/organizations/{id}/role-assignments", Read, org),
            case(
                "GET /api/organizations/{id}/permissions/explain",
                Read,
                format!("/api/organizations/{org}/permissions/explain?permission=project.delete"),
            ),
            of("GET /api/organizations/{id}/service-accounts", Read, org),
            of("GET /api/organizations/{id}/service-accounts/{account_id}", Read, org),
            of("GET /api/teams/{id}", Read, team),
            of("GET /api/teams/{id}/members", Read, team),
            of("GET /api/teams/{id}/quotas", Read, team),
            case("GET /api/organizations/{id}/usage", Read, format!("/api/organizations/{org}/usage?team_id={team}")),
            of("GET /api/organizations/{id}/usage", Read, org),
            of("GET /api/organizations/{id}/usage.csv", Read, org),
            of("POST /api/organizations/{id}/quotas/check", Read, org)
                .json(&json!({"resource_type": "projects", "amount": 1})),
            of("GET /api/projects/{id}", Read, project),
            of("GET /api/projects/{id}/files", Read, project),
            of("GET /api/projects/{id}/findings", Read, project),
            of("GET /api/projects/{id}/runs", Read, project),
            of("GET /api/projects/{id}/workflows", Read, project),
            of("GET /api/projects/{id}/download", Read, project),
            of("GET /api/files/{id}", Read, file),
            of("GET /api/files/{id}/findings", Read, file),
            of("GET /api/files/{id}/versions", Read, file),
            of("GET /api/files/{id}/together", Read, file)
                .header("connection", "upgrade".to_owned())
                .header("upgrade", "websocket".to_owned())
                .header("sec-websocket-version", "13".to_owned())
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".to_owned()),
            of("GET /api/files/{id}/versions/{version}", Read, file),
            of("GET /api/runs/{id}", Read, run),
            of("GET /api/runs/{id}/events", Read, run),
            plain("POST /v1/chat/completions", Write).json(&chat).header("x-organization-id", org.to_string()),
            plain("POST /v1/chat/completions", Write).json(&chat).header("x-organization-id", slug.clone()),
            of("PUT /api/projects/{id}", Write, project).json(&json!({"name": "changed", "requirements": "Other."})),
            plain("POST /api/projects", Write).json(&json!({"name": "more", "organization_id": org})),
            of("POST /api/projects/{id}/files", Write, project).json(&json!({"path": "b.txt", "content": "b"})),
            of("PUT /api/files/{id}", Write, file).json(&json!({"content": "changed", "expected_version": 2})),
            of("POST /api/files/{id}/restore/{version}", Write, file),
            of("GET /api/projects/{id}/quality", Read, project),
            case("GET /api/templates", Read, format!("/api/templates?organization_id={org}")),
            case("GET /api/templates/{plugin}", Read, format!("/api/templates/web-service?organization_id={org}")),
            case("POST /api/templates/{plugin}/preview", Read, "/api/templates/web-service/preview".to_owned())
                .json(&json!({"organization_id": org, "variables": {"name": "a"}})),
            of("POST /api/projects/{id}/apply-template", Write, project)
                .json(&json!({"plugin": "web-service", "variables": {"name": "a"}})),
            of("POST /api/projects/{id}/analyze", Write, project).json(&json!({})),
            of("POST /api/files/{id}/lint", Write, file),
            of("POST /api/files/{id}/format", Write, file),
            Case {
                address: format!("/api/files/{file}/fix?plugin=security-scanner"),
                ..of("POST /api/files/{id}/fix", Write, file)
            },
            of("POST /api/runs/{id}/stages/{stage}/retry", Write, run),
            of("POST /api/runs/{id}/pause", Write, run),
            of("POST /api/runs/{id}/resume", Write, run),
            of("POST /api/runs/{id}/cancel", Write, run),
            of("POST /api/projects/{id}/runs", Write, project).json(&json!({"requirement": "More."})),
            plain("POST /api/llm/providers", Write).json(&another),
            plain("POST /api/users", Write).json(&newcomer),
            of("PUT /api/users/{id}/password", Write, user).json(&json!({"password": "another long password"})),
            of("GET /api/users/{id}/tokens", Write, user),
            case("DELETE /api/users/{id}/tokens/{token_id}", Write, format!("/api/users/{user}/tokens/{viewer_token}")),
            of("GET /api/users/{id}", Write, user),
            of("PUT /api/users/{id}", Write, user).json(&json!({"email": "moved@example.org"})),
            of("POST /api/users/{id}/unlock", Write, user),
            of("DELETE /api/users/{id}/second-factor", Write, user),
            of("POST /api/users/{id}/deactivate", Write, user),
            of("POST /api/users/{id}/reactivate", Write, user),
            of("POST /api/users/{id}/password-reset", Write, user).json(&json!({})),
            of("GET /api/users/{id}/sessions", Write, user),
            of("DELETE /api/users/{id}/sessions", Write, user),
            of("GET /api/organizations/{id}/invitations", Write, org),
            of("POST /api/organizations/{id}/invitations", Write, org)
                .json(&json!({"email": "more@example.org", "role": "viewer"})),
            of("POST /api/organizations/{id}/invitations/{invitation_id}/resend", Write, org).json(&json!({})),
            of("DELETE /api/organizations/{id}/invitations/{invitation_id}", Write, org),
            plain("POST /api/invitations/join", Bearer).json(&json!({"code": invitations[0]})),
            plain("POST /api/invitations/accept", Bearer)
                .json(&json!({"code": invitations[1], "username": "invited", "password": "a fifth bright morning"})),
            of("POST /api/organizations/{id}/service-accounts", Write, org).json(&json!({"name": "more"})),
            of("POST /api/organizations/{id}/service-accounts/{account_id}/tokens", Write, org)
                .json(&json!({"name": "walk"})),
            of("DELETE /api/organizations/{id}/service-accounts/{account_id}", Write, org),
            of("PUT /api/organizations/{id}", Write, org).json(&json!({"contact_email": "us@example.org"})),
            of("PUT /api/organizations/{id}/settings", Write, org)
                .json(&json!({"settings": {"run_token_budget": 9000}})),
            Case { body: Bytes::from_static(orgs::LOGO), ..of("PUT /api/organizations/{id}/logo", Write, org) },
            of("DELETE /api/organizations/{id}/logo", Write, org),
            of("POST /api/organizations/{id}/members", Write, org).json(&member),
            of("POST /api/organizations/{id}/members", Draw, &elsewhere).json(&member),
            of("POST /api/organizations/{id}/teams", Write, org).json(&json!({"slug": "more", "name": "More"})),
            of("POST /api/organizations/{id}/teams", Draw, &elsewhere)
                .json(&json!({"slug": "more", "name": "More", "owner": username})),
            of("PUT /api/teams/{id}", Write, team).json(&json!({"description": "Changed."})),
            of("POST /api/teams/{id}/members", Write, team).json(&json!({"username": username, "role": "member"})),
            of("PUT /api/teams/{id}/members/{user_id}", Write, team).json(&json!({"role": "admin"})),
            case("PUT /api/projects/{id}", Write, format!("/api/projects/{project}")).json(&json!({"team_id": team})),
            case("PUT /api/projects/{id}", Write, format!("/api/projects/{project}")).json(&json!({"team_id": null})),
            plain("POST /api/projects", Write).json(&json!({"name": "a team's", "team_id": team})),
            of("POST /api/organizations/{id}/roles", Write, org)
                .json(&json!({"code": "another", "name": "Another", "permissions": ["project.read"]})),
            of("PUT /api/organizations/{id}/roles/{code}", Write, org).json(&json!({"description": "Changed."})),
            of("POST /api/organizations/{id}/role-assignments", Write, org)
                .json(&json!({"username": username, "role": "team_admin", "team_id": team})),
            of("POST /api/organizations/{id}/role-assignments", Draw, &elsewhere)
                .json(&json!({"username": username, "role": "viewer"})),
            case(
                "DELETE /api/organizations/{id}/role-assignments/{assignment_id}",
                Draw,
                format!("/api/organizations/{elsewhere}/role-assignments/{assignment}"),
            ),
            case(
                "DELETE /api/organizations/{id}/role-assignments/{assignment_id}",
                Write,
                format!("/api/organizations/{org}/role-assignments/{assignment}"),
            ),
            of("DELETE /api/organizations/{id}/roles/{code}", Write, org),
            of("DELETE /api/teams/{id}/members/{user_id}", Write, team),
            plain("GET /api/role-assignments", Site),
            plain("POST /api/role-assignments", Site).json(&json!({"user_id": mate, "role": "developer"})),
            case(
                "DELETE /api/role-assignments/{assignment_id}",
                Site,
                format!("/api/role-assignments/{site_assignment}"),
            ),
            case(
                "DELETE /api/organizations/{id}/members/{user_id}",
                Draw,
                format!("/api/organizations/{elsewhere}/members/{user}"),
            ),
            of("POST /api/organizations/{id}/suspend", Site, org).json(&json!({"reason": "Unpaid."})),
            of("POST /api/organizations/{id}/resume", Site, org),
            plain("POST /api/organizations", Site).json(&json!({"name": "Third", "slug": "third"})),
            of("PUT /api/organizations/{id}/quotas/{quota}", Site, org).json(&json!({"limit_value": 1000})),
            of("POST /api/organizations/{id}/quotas", Site, org)
                .json(&json!({"resource_type": "storage", "limit_value": 1_000_000})),
            of("DELETE /api/organizations/{id}/quotas/{quota}", Site, org),
            of("POST /api/organizations/{id}/usage", Site, org)
                .json(&json!({"resource_type": "llm_tokens", "amount": 1, "metadata": {"model": "elsewhere"}})),
            of("PUT /api/organizations/{id}/plugins/{slug}", Write, org).json(&json!({"enabled": true})),
            of("POST /api/organizations/{id}/plugins/{slug}/revoke", Write, org).json(&json!({})),
            of("DELETE /api/organizations/{id}/plugins/{slug}", Write, org),
            plugin("PUT /api/plugins/{slug}/everywhere", Site).json(&json!({"everywhere": true})),
            plugin("PUT /api/plugins/{slug}/config", Site).json(&json!({"severity_threshold": "low"})),
            plugin("POST /api/plugins/{slug}/disable", Site),
            plugin("POST /api/plugins/{slug}/enable", Site),
            plain("POST /api/plugins/install", Site).json(&json!({"slug": "security-scanner"})),
            Case {
                address: "/api/plugins/upload?replace=true".to_owned(),
                body: plugins::tar_of("plugin-sdk/examples/security-scanner"),
                ..plain("POST /api/plugins/upload", Site).header("content-type", "application/x-tar".to_owned())
            },
            plugin("DELETE /api/plugins/{slug}", Site),
            plain("GET /api/marketplace/plugins", Own),
            plain("GET /api/marketplace/categories", Own),
            case("GET /api/marketplace/plugins/{slug}", Own, "/api/marketplace/plugins/file-headers".to_owned()),
            case(
                "GET /api/marketplace/plugins/{slug}/{version}/pictures/{path}",
                Own,
                "/api/marketplace/plugins/file-headers/1.0.0/pictures/icon.png".to_owned(),
            ),
            case(
                "GET /api/marketplace/plugins/{slug}/reviews",
                Own,
                "/api/marketplace/plugins/web-service/reviews".to_owned(),
            ),
            case(
                "PUT /api/marketplace/plugins/{slug}/review",
                Own,
                "/api/marketplace/plugins/web-service/review".to_owned(),
            )
            .json(&json!({"rating": 5, "text": "Sings."})),
            of("PUT /api/marketplace/reviews/{id}/helpful", Own, review),
            of("DELETE /api/marketplace/reviews/{id}/helpful", Own, review),
            case(
                "DELETE /api/marketplace/plugins/{slug}/review",
                Own,
                "/api/marketplace/plugins/web-service/review".to_owned(),
            ),
            of("POST /api/marketplace/reviews/{id}/remove", Site, review).json(&json!({"reason": "does not sing"})),
            plain("GET /api/marketplace/submissions", Own),
            // Without a licence it fails a check, and may be handed in again and again.
            Case {
                body: mirror::handed_in(false),
                ..plain("POST /api/marketplace/submissions", Own).header("content-type", "application/zip".to_owned())
            },
            of("GET /api/marketplace/submissions/{id}", Personal, submission),
            of("GET /api/marketplace/submissions/{id}/package", Personal, submission),
            of("PUT /api/marketplace/submissions/{id}/status", Personal, submission)
                .json(&json!({"status": "withdrawn"})),
            plain("GET /api/marketplace/collections", Own),
            plain("POST /api/marketplace/collections", Write)
                .json(&json!({"name": "nightingales", "plugins": ["web-service"], "organization_id": org})),
            of("GET /api/marketplace/collections/{id}", Read, collection),
            of("PUT /api/marketplace/collections/{id}", Write, collection)
                .json(&json!({"name": "nightingales all", "plugins": ["web-service"]})),
            of("POST /api/marketplace/collections/{id}/install", Site, collection).json(&json!({"dry_run": true})),
            of("DELETE /api/marketplace/collections/{id}", Write, collection),
            plain("POST /api/mirror/trust", Site)
                .json(&json!({"repository": "vendor", "root": mirror::sample().0, "replace": true})),
            Case {
                body: mirror::sample().1.clone(),
                ..plain("POST /api/mirror/import", Site).header("content-type", "application/x-tar".to_owned())
            },
            plain("GET /api/mirror", Site),
            plain("GET /api/mirror/state", Site),
            plain("GET /api/mirror/contents", Site),
            case(
                "GET /api/mirror/contents/{repository}/{name}",
                Site,
                "/api/mirror/contents/vendor/plugins/file-headers/1.0.0.rplugin".to_owned(),
            ),
            case(
                "POST /api/marketplace/plugins/{slug}/install",
                Site,
                "/api/marketplace/plugins/file-headers/install".to_owned(),
            )
            .json(&json!({})),
            plain("GET /api/marketplace/updates/check", Site),
            plain("GET /api/marketplace/updates/history", Site),
            plain("GET /api/marketplace/updates/window", Site),
            plain("PUT /api/marketplace/updates/window", Site)
                .json(&json!({"days": ["monday"], "from": "03:00", "to": "05:00"})),
            plain("POST /api/marketplace/updates/run", Site).json(&json!({"dry_run": true})),
            case(
                "PUT /api/marketplace/plugins/{slug}/update-policy",
                Site,
                "/api/marketplace/plugins/file-headers/update-policy".to_owned(),
            )
            .json(&json!({"policy": "patch"})),
            case(
                "GET /api/marketplace/plugins/{slug}/update",
                Site,
                "/api/marketplace/plugins/file-headers/update".to_owned(),
            ),
            case(
                "POST /api/marketplace/plugins/{slug}/update",
                Site,
                "/api/marketplace/plugins/file-headers/update".to_owned(),
            )
            .json(&json!({"dry_run": true})),
            case(
                "POST /api/marketplace/plugins/{slug}/approve",
                Site,
                "/api/marketplace/plugins/file-headers/approve".to_owned(),
            )
            .json(&json!({"version": "1.0.0"})),
            case(
                "DELETE /api/organizations/{id}/members/{user_id}",
                Write,
                format!("/api/organizations/{org}/members/{user}"),
            ),
            of("DELETE /api/llm/providers/{id}", Write, provider),
            of("DELETE /api/tokens/{id}", Personal, token),
            of("DELETE /api/sessions/{id}", Personal, session),
            plain("DELETE /api/sessions", Own),
            plain("GET /api/setup", Site),
            plain("POST /api/setup", Spent).json(&json!({"secret": "0000", "username": "first",
                "email": "first@example.org", "password": password})),
            plain("POST /api/auth/register", Bearer)
                .json(&json!({"username": "registered", "email": "registered@example.org", "password": password})),
            plain("POST /api/auth/passkeys/start", Public),
            plain("POST /api/auth/passkeys/finish", Bearer).json(&json!({"ticket": ticket, "credential": CREDENTIAL})),
            plain("GET /api/auth/sso", Public),
            plain("GET /api/sso/providers", List { viewer: false }),
            plain("POST /api/sso/providers", Write).json(&json!({"organization_id": org, "slug": "another",
                "name": "another", "connection": {"kind": "saml", "metadata": SSO_METADATA}})),
            of("GET /api/sso/providers/{id}", Write, sso),
            of("PUT /api/sso/providers/{id}", Write, sso)
                .json(&json!({"name": "nightingale", "connection": {"kind": "saml", "metadata": SSO_METADATA}})),
            of("POST /api/sso/providers/{id}/test", Write, sso),
            plain("GET /api/account/sso", Own),
            plain("POST /api/account/sso/link", Read).json(&json!({"provider": slug, "password": PASSWORD})),
            of("DELETE /api/account/sso/{id}", Personal, sso_link),
            of("DELETE /api/sso/providers/{id}", Write, sso),
            plain("GET /api/account/passkeys", Own),
            plain("POST /api/account/passkeys/start", Bearer).json(&json!({"password": password})),
            plain("POST /api/account/passkeys/finish", Bearer)
                .json(&json!({"ticket": ticket, "name": "telephone", "credential": CREDENTIAL})),
            of("PUT /api/account/passkeys/{id}", Personal, passkey).json(&json!({"name": "key ring"})),
            of("DELETE /api/account/passkeys/{id}", Personal, passkey).json(&json!({"password": PASSWORD})),
            plain("GET /api/account/second-factor", Own),
            plain("POST /api/account/second-factor/start", Bearer).json(&json!({"password": password})),
            // The marks stand for codes that those who may have just learned.
            plain("POST /api/account/second-factor/finish", Bearer).json(&json!({"code": APP_CODE})),
            plain("POST /api/account/second-factor/recovery-codes", Bearer)
                .json(&json!({"password": password, "code": RECOVERY_CODE})),
            plain("DELETE /api/account/second-factor", Bearer)
                .json(&json!({"password": password, "code": RECOVERY_CODE})),
            plain("PUT /api/auth/password", Bearer)
                .json(&json!({"current": password, "new": "a fourth bright morning"})),
            of("DELETE /api/files/{id}", Write, file),
            of("DELETE /api/projects/{id}", Write, project),
            of("DELETE /api/teams/{id}", Write, team),
            of("DELETE /api/organizations/{id}", Write, org).json(&json!({"confirm": slug})),
            of("POST /api/organizations/{id}/restore", Site, org),
            of("POST /api/users/{id}/erase", Site, user).json(&json!({"username": username})),
            plain("POST /api/auth/logout", Own),
        ]
    }
}
