-- A site as the version before teams, quotas by period and the signed trail left it (schema up to step 45), after a crash:
-- three organisations, people with roles, a project with files and a run that has ended, one that is paused, limits with
-- use and a grant that nobody gave back, tokens that count and such that do not, a trail. Every password is the tests'.

INSERT INTO organizations (id, name, slug, tier, contact_email, created_at) VALUES
    (1, 'Acme', 'acme', 'professional', 'office@acme.example', 1790845200000000),
    (2, 'Bäckerei Süß', 'baeckerei', 'free', NULL, 1790845200000001),
    (3, 'Aсme', 'gamma', 'enterprise', NULL, 1790845200000002);

INSERT INTO users (id, username, username_key, email, email_key, password_hash, is_active, created_at) VALUES
    (11, 'Root', 'root', 'root@example.org', 'root@example.org', '{PASSWORD}', TRUE, 1790845200000000),
    (12, 'ann', 'ann', 'Ann@Example.org', 'ann@example.org', '{PASSWORD}', TRUE, 1790845200000000),
    (13, 'dan', 'dan', 'dan@example.org', 'dan@example.org', '{PASSWORD}', TRUE, 1790845200000000),
    (14, 'vic', 'vic', 'vic@example.org', 'vic@example.org', '{PASSWORD}', TRUE, 1790845200000000),
    (15, 'off', 'off', 'off@example.org', 'off@example.org', '{PASSWORD}', FALSE, 1790845200000000);

INSERT INTO role_grants (id, user_id, role, organization_id, granted_at) VALUES
    (21, 11, 'super_admin', NULL, 1790845200000000),
    (22, 12, 'org_admin', 1, 1790845200000000),
    (23, 13, 'developer', 1, 1790845200000000),
    (24, 14, 'viewer', 1, 1790845200000000),
    (25, 14, 'developer', 2, 1790845200000000),
    (26, 15, 'team_admin', 2, 1790845200000000);

-- The first session counts until the year 2999, the second was ended.
INSERT INTO sessions (id, user_id, created_at, expires_at, revoked_at, ip_address, user_agent) VALUES
    (31, 13, 1790845200000000, 32472144000000000, NULL, '192.0.2.7', 'curl/8'),
    (32, 13, 1790845200000000, 32472144000000000, 1790845300000000, '192.0.2.7', 'curl/8');

-- SHA-256 of the two tokens in the test; the second has ended.
INSERT INTO personal_tokens (id, user_id, name, token_hash, created_at, expires_at, last_used_at) VALUES
    (41, 12, 'ci', 'af2efe0613741b96e3207e8c30e0655c24219db0fef3be05ae4e8d1b58b06cfb', 1790845200000000, NULL, 1790845200000000),
    (42, 12, 'old', '3978860fb532c75a1ceabd56bd4b0c7b7ad17c338276a9e2d6d43ea0c33ea8fc', 1790845200000000, 1790845201000000, NULL);

-- Acme's tokens and the bakery's projects were set by hand; of Acme's tokens a process that is gone held 100.
INSERT INTO quotas (organization_id, resource, limit_value, used, granted) VALUES
    (1, 'projects', 500, 1, 0), (1, 'llm_tokens', 12345, 900, 100),
    (2, 'projects', 1, 1, 0), (2, 'llm_tokens', 100000, 0, 0),
    (3, 'projects', NULL, 0, 0), (3, 'llm_tokens', NULL, 0, 0);
INSERT INTO quota_grants (process, organization_id, resource, amount, renewed_at) VALUES
    ('4711-dead', 1, 'llm_tokens', 100, 1790845200000000);
INSERT INTO usage_records (id, organization_id, resource, amount, user_id, project_id, model, source, at) VALUES
    (51, 1, 'llm_tokens', 600, 13, 61, 'small', 'run', 1790845200000000),
    (52, 1, 'llm_tokens', 250, 13, 61, 'large', 'run', 1790845201000000),
    (53, 1, 'llm_tokens', 50, NULL, NULL, NULL, 'gateway', 1790931600000000);

INSERT INTO projects (id, organization_id, name, requirements, status, created_by, created_at, updated_at, file_count, latest_run_id) VALUES
    (61, 1, 'Links', 'Shorten links.', 'completed', 'dan', 1790845200000000, 1790845201000000, 2, 92),
    (62, 2, 'Brötchen', '', 'pending', 'vic', 1790845200000000, 1790845200000000, 0, NULL);
INSERT INTO files (id, project_id, path, path_key, language, size, version, sha256, created_at, updated_at, updated_by) VALUES
    (71, 61, 'src/Main.py', 'src/main.py', 'python', 22, 2, '672b3544b9649f6ddeb51a4324ae941dde7d001a82b7156a52baef32332faafa', 1790845200000000, 1790845201000000, 'dan'),
    (72, 61, 'NOTES.md', 'notes.md', 'markdown', 8, 1, '365d0b84ae63c2afc293dedd2b00bdf0dc8d6ef70c9297d90f9e5682ab0d72ee', 1790845200000000, 1790845200000000, 'project_manager');
INSERT INTO file_versions (file_id, version, sha256, size, created_at, created_by) VALUES
    (71, 1, 'b80792336156c7b0f7fe02eeef24610d2d52a10d1810397744471d1dc5738180', 15, 1790845200000000, 'developer'),
    (71, 2, '672b3544b9649f6ddeb51a4324ae941dde7d001a82b7156a52baef32332faafa', 22, 1790845201000000, 'dan'),
    (72, 1, '365d0b84ae63c2afc293dedd2b00bdf0dc8d6ef70c9297d90f9e5682ab0d72ee', 8, 1790845200000000, 'project_manager');
INSERT INTO findings (id, file_id, project_id, file_version, plugin, type, severity, message, line, code, recommendation) VALUES
    (81, 71, 61, 2, 'security-scanner', 'print', 'low', 'It prints.', 1, 'print', NULL);

INSERT INTO runs (id, project_id, organization_id, requirement, model, status, stage, role, iteration, max_iterations, skip_ui_design,
    token_budget, tokens_used, error_code, error_detail, started_by, created_by, created_at, started_at, finished_at, step_job, last_event,
    ip_address, user_agent) VALUES
    (91, 61, 1, 'Shorten links.', 'small', 'completed', 'completed', 'quality_expert', 1, 3, TRUE, NULL, 850, NULL, NULL, 13, 'dan',
        1790845200000000, 1790845200000000, 1790845201000000, NULL, 1, '192.0.2.7', 'curl/8'),
    (92, 61, 1, 'And count them.', 'small', 'paused', 'development', 'developer', 1, 3, TRUE, 5000, 0, NULL, NULL, 13, 'dan',
        1790845202000000, 1790845202000000, NULL, NULL, 0, NULL, NULL);
INSERT INTO run_stages (run_id, place, stage, role, status, attempts, tokens, summary, started_at, finished_at) VALUES
    (91, 0, 'requirement_analysis', 'requirements_analyst', 'done', 1, 600, 'Wrote it down.', 1790845200000000, 1790845201000000),
    (91, 2, 'ui_design', 'uxui_designer', 'skipped', 0, 0, NULL, NULL, NULL),
    (91, 3, 'development', 'developer', 'done', 1, 250, 'Built it.', 1790845200000000, 1790845201000000),
    (92, 3, 'development', 'developer', 'pending', 0, 0, NULL, NULL, NULL);
INSERT INTO run_events (run_id, number, name, data) VALUES
    (91, 1, 'message', '{"role":"developer","level":"info","text":"Done.","at":"2026-10-01T09:00:01.000000Z"}');

INSERT INTO llm_providers (id, organization_id, name, base_url, api_key_sealed, models, context_length, created_at, updated_at) VALUES
    (101, NULL, 'lab', 'http://192.0.2.1:9/v1', NULL, '["small","large"]', 8192, 1790845200000000, 1790845200000000),
    (102, 1, 'lab', 'http://192.0.2.2:9/v1', NULL, '["own"]', NULL, 1790845200000000, 1790845200000000);
INSERT INTO plugins (id, slug, config, status, error, learned, calls, failures, installed_at) VALUES
    (111, 'security-scanner', '{"severity_threshold":"high"}', 'disabled', NULL, NULL, 7, 1, 1790845200000000);

INSERT INTO audit_entries (id, at, organization_id, actor_kind, actor_id, actor_name, action, resource_type, resource_id, description,
    success, before_json, after_json, ip_address, user_agent, request_id) VALUES
    (201, 1790845200000000, NULL, 'operator', NULL, 'operator', 'create', 'user', '11', 'Created account Root', TRUE, NULL, '{"id":11}', NULL, NULL, NULL),
    (202, 1790845200000001, 1, 'user', 11, 'Root', 'create', 'organization', '1', 'Created organisation Acme', TRUE, NULL, '{"name":"Acme"}', '192.0.2.1', 'curl/8', 'r-1'),
    (203, 1790845200000002, 2, 'user', 11, 'Root', 'create', 'organization', '2', 'Created organisation Bäckerei Süß', TRUE, NULL, '{"name":"Bäckerei Süß"}', '192.0.2.1', NULL, 'r-2'),
    (204, 1790845200000003, NULL, 'anonymous', NULL, 'ann', 'login', 'session', NULL, 'Sign-in failed', FALSE, NULL, NULL, '198.51.100.9', NULL, 'r-3'),
    (205, 1790845201000000, 1, 'user', 13, 'dan', 'update', 'file', '71', 'Changed src/Main.py', TRUE, '{"version":1}', '{"version":2}', '192.0.2.7', 'curl/8', 'r-4'),
    (206, 1790845201000001, 1, 'agent', NULL, 'developer', 'execute', 'run', '91', 'Built it', TRUE, NULL, NULL, NULL, NULL, NULL);
