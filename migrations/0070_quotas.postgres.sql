-- Ids come from the sequence ids, days from to_char().
INSERT INTO quotas (id, organization_id, resource, scope, scope_id, limit_value, period, mode, thresholds, custom)
SELECT nextval('ids'), organization_id, resource, 'organization', organization_id, limit_value, period, 'hard', '[80,90,100]', custom
FROM (
    SELECT b.organization_id, b.resource, b.limit_value, 'none' AS period,
        b.resource = 'llm_tokens' OR b.limit_value IS DISTINCT FROM
            CASE o.tier WHEN 'enterprise' THEN NULL WHEN 'professional' THEN 500 WHEN 'starter' THEN 50 ELSE 5 END AS custom
    FROM quotas_before b JOIN organizations o ON o.id = b.organization_id
    UNION ALL
    SELECT id, 'api_calls', CASE tier WHEN 'enterprise' THEN NULL WHEN 'professional' THEN 10000000 WHEN 'starter' THEN 1000000 ELSE 100000 END,
        'monthly', FALSE FROM organizations
    UNION ALL
    SELECT id, 'storage', CASE tier WHEN 'enterprise' THEN NULL WHEN 'professional' THEN 100000000000 WHEN 'starter' THEN 10000000000 ELSE 1000000000 END,
        'none', FALSE FROM organizations
    UNION ALL
    SELECT id, 'team_members', CASE tier WHEN 'enterprise' THEN NULL WHEN 'professional' THEN 500 WHEN 'starter' THEN 50 ELSE 10 END,
        'none', FALSE FROM organizations
) AS initial;
INSERT INTO quota_counters (quota_id, period, used, granted, warned, blocked)
SELECT q.id, 'none',
    CASE q.resource
        WHEN 'storage' THEN (SELECT CAST(COALESCE(SUM(v.size), 0) AS BIGINT) FROM file_versions v
            JOIN files f ON f.id = v.file_id JOIN projects p ON p.id = f.project_id WHERE p.organization_id = q.organization_id)
        WHEN 'team_members' THEN (SELECT COUNT(DISTINCT g.user_id) FROM role_grants g WHERE g.organization_id = q.organization_id)
        ELSE b.used
    END,
    COALESCE(b.granted, 0), 0, 0
FROM quotas q LEFT JOIN quotas_before b ON b.organization_id = q.organization_id AND b.resource = q.resource
WHERE q.period = 'none';
INSERT INTO quota_grants (process, quota_id, period, amount, renewed_at)
SELECT g.process, q.id, 'none', g.amount, g.renewed_at
FROM quota_grants_before g JOIN quotas q ON q.organization_id = g.organization_id AND q.resource = g.resource;
INSERT INTO usage_daily (organization_id, resource, day, user_id, project_id, model, amount, records)
SELECT organization_id, resource, to_char(to_timestamp(at / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD'), COALESCE(user_id, 0), COALESCE(project_id, 0), COALESCE(model, ''),
    CAST(SUM(amount) AS BIGINT), COUNT(*)
FROM usage_records
GROUP BY organization_id, resource, to_char(to_timestamp(at / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD'), COALESCE(user_id, 0), COALESCE(project_id, 0), COALESCE(model, '');
DROP TABLE quotas_before;
DROP TABLE quota_grants_before;
