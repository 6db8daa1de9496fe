// The nouns of the HTTP contract, one alias each, and the map of paths that the client is typed by.
// This is the only file that knows where the types come from: pages import nouns from here.

export type Severity = 'low' | 'medium' | 'high' | 'critical';
export type SeverityCounts = Record<Severity, number>;

export type RoleName = 'super_admin' | 'org_admin' | 'team_admin' | 'developer' | 'viewer';
export type RoleGrant = { role: RoleName; organization_id: number | null };
export type User = {
  id: number;
  username: string;
  email: string;
  is_active: boolean;
  roles: RoleGrant[];
  created_at: string;
};
export type Membership = { id: number; name: string; slug: string; permissions: string[] };
/** `user` is null for the local operator, who comes through the socket. */
export type Me = { user: User | null; name: string; site_permissions: string[]; organizations: Membership[] };
export type LoginReply = { access_token: string; token_type: 'bearer'; expires_in: number; user: User };
export type Token = {
  id: number;
  name: string;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
};

export type Organization = {
  id: number;
  name: string;
  slug: string;
  tier: 'free' | 'starter' | 'professional' | 'enterprise';
  contact_email: string | null;
  created_at: string;
};
export type Member = { user_id: number; username: string; email: string; role: string };
/** `limit_value` null means unlimited. */
export type Quota = {
  resource: 'projects' | 'llm_tokens';
  limit_value: number | null;
  used: number;
  reserved: number;
};

export type ProjectStatus =
  'pending' | 'planning' | 'developing' | 'testing' | 'completed' | 'failed' | 'canceled';
export type Project = {
  id: number;
  organization_id: number;
  name: string;
  requirements: string;
  status: ProjectStatus;
  created_by: string;
  created_at: string;
  updated_at: string;
  file_count: number;
  latest_run_id: number | null;
};
export type ProjectFile = {
  id: number;
  project_id: number;
  path: string;
  language: string | null;
  size: number;
  version: number;
  sha256: string;
  created_at: string;
  updated_at: string;
  updated_by: string;
  findings: SeverityCounts;
};
export type FileContent = ProjectFile & { content: string; encoding: 'utf-8' | 'base64' };
export type FileVersion = {
  version: number;
  size: number;
  sha256: string;
  created_at: string;
  created_by: string;
};
export type Finding = {
  id: number;
  file_id: number;
  path: string;
  file_version: number;
  plugin: string;
  type: string;
  severity: Severity;
  message: string;
  line: number | null;
  code: string | null;
  recommendation: string | null;
};

export type Stage =
  'requirement_analysis' | 'architecture_design' | 'ui_design' | 'development' | 'testing' | 'qa_review';
export type AgentRole =
  | 'project_manager'
  | 'requirements_analyst'
  | 'architect'
  | 'uxui_designer'
  | 'developer'
  | 'test_engineer'
  | 'quality_expert';
export type StageStatus = 'pending' | 'running' | 'done' | 'skipped' | 'failed';
export type StageView = {
  stage: Stage;
  role: AgentRole;
  status: StageStatus;
  attempts: number;
  tokens: number;
  summary: string | null;
  started_at: string | null;
  finished_at: string | null;
};
export type RunStatus = 'queued' | 'running' | 'paused' | 'completed' | 'failed' | 'canceled';
export type Run = {
  id: number;
  project_id: number;
  organization_id: number;
  requirement: string;
  model: string;
  status: RunStatus;
  stage: Stage | 'completed';
  iteration: number;
  max_iterations: number;
  skip_ui_design: boolean;
  token_budget: number | null;
  tokens_used: number;
  error: { code: string; detail: string } | null;
  created_by: string;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  stages: StageView[];
};

export type Model = {
  id: string;
  provider: string;
  context_length: number | null;
  status: 'ready' | 'starting' | 'unreachable' | 'unknown';
  detail: string | null;
};
/** `id` is null for the built-in provider and for those of the configuration file. */
export type Provider = {
  id: number | null;
  name: string;
  kind: 'builtin' | 'openai';
  base_url: string | null;
  organization_id: number | null;
  has_api_key: boolean;
  models: string[];
  context_length: number | null;
};
export type Hook = { name: string; kind: 'action' | 'filter'; priority: number };
export type Plugin = {
  id: number;
  slug: string;
  name: string;
  version: string;
  description: string;
  category: string;
  author: string;
  status: 'active' | 'disabled' | 'failed';
  error: string | null;
  config: Record<string, unknown>;
  config_schema: Record<string, unknown> | null;
  hooks: Hook[];
  calls: number;
  failures: number;
  installed_at: string;
};

export type AuditAction =
  'create' | 'read' | 'update' | 'delete' | 'login' | 'logout' | 'permission_change' | 'export' | 'execute';
export type AuditActor = {
  kind: 'user' | 'operator' | 'agent' | 'system' | 'anonymous';
  id: number | null;
  name: string;
};
export type AuditEntry = {
  id: number;
  at: string;
  organization_id: number | null;
  actor: AuditActor;
  action: AuditAction;
  resource_type: string;
  resource_id: string | null;
  description: string;
  success: boolean;
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
  ip_address: string | null;
  user_agent: string | null;
  request_id: string | null;
};
export type SystemInfo = { version: string; demo: boolean; models_ready: boolean };

export type List<T> = { items: T[]; next_cursor?: string | null };

// The paths, in the shape that openapi-typescript generates.
type Page = { limit?: number; cursor?: string };
type Json<T> = { content: { 'application/json': T } };
type Reply<T> = { responses: { 200: Json<T> } };
type Empty = { responses: { 204: { content?: never } } };
type At<P> = { parameters: { path: P } };
type Ask<Q> = { parameters: { query?: Q } };
type Send<B> = { requestBody: Json<B> };
type Id = { id: number };

export interface paths {
  '/api/system': { get: Reply<SystemInfo> };
  '/api/auth/me': { get: Reply<Me> };
  '/api/auth/login': { post: Send<{ username: string; password: string }> & Reply<LoginReply> };
  '/api/auth/logout': { post: Empty };
  '/api/tokens': {
    get: Ask<Page> & Reply<List<Token>>;
    post: Send<{ name: string; expires_in_days?: number | null }> & Reply<{ token: Token; secret: string }>;
  };
  '/api/tokens/{id}': { delete: At<Id> & Empty };
  '/api/organizations': {
    get: Ask<Page> & Reply<List<Organization>>;
    post: Send<{ name: string; slug: string; tier: Organization['tier']; contact_email?: string }> &
      Reply<Organization>;
  };
  '/api/organizations/{id}': { get: At<Id> & Reply<Organization> };
  '/api/organizations/{id}/members': {
    get: { parameters: { path: Id; query?: Page } } & Reply<List<Member>>;
    post: At<Id> & Send<{ username: string; role: string }> & Reply<Member>;
  };
  '/api/organizations/{id}/members/{user_id}': { delete: At<{ id: number; user_id: number }> & Empty };
  '/api/organizations/{id}/quotas': { get: At<Id> & Reply<List<Quota>> };
  '/api/organizations/{id}/quotas/{resource}': {
    put: At<{ id: number; resource: Quota['resource'] }> &
      Send<{ limit_value: number | null }> &
      Reply<Quota>;
  };
  '/api/projects': {
    get: Ask<Page & { organization_id?: number }> & Reply<List<Project>>;
    post: Send<{ name: string; requirements: string; organization_id?: number }> & Reply<Project>;
  };
  '/api/projects/{id}': {
    get: At<Id> & Reply<Project>;
    put: At<Id> & Send<{ name?: string; requirements?: string }> & Reply<Project>;
    delete: At<Id> & Empty;
  };
  '/api/projects/{id}/files': { get: { parameters: { path: Id; query?: Page } } & Reply<List<ProjectFile>> };
  '/api/projects/{id}/findings': { get: { parameters: { path: Id; query?: Page } } & Reply<List<Finding>> };
  '/api/projects/{id}/runs': {
    get: { parameters: { path: Id; query?: Page } } & Reply<List<Run>>;
    post: At<Id> &
      Send<{
        requirement?: string;
        model?: string;
        skip_ui_design?: boolean;
        max_iterations?: number;
        token_budget?: number | null;
      }> &
      Reply<Run>;
  };
  '/api/files/{id}': { get: At<Id> & Reply<FileContent> };
  '/api/files/{id}/versions': { get: { parameters: { path: Id; query?: Page } } & Reply<List<FileVersion>> };
  '/api/files/{id}/versions/{version}': { get: At<{ id: number; version: number }> & Reply<FileContent> };
  '/api/files/{id}/restore/{version}': { post: At<{ id: number; version: number }> & Reply<ProjectFile> };
  '/api/files/{id}/findings': { get: At<Id> & Reply<List<Finding>> };
  '/api/runs/{id}': { get: At<Id> & Reply<Run> };
  '/api/runs/{id}/pause': { post: At<Id> & Reply<Run> };
  '/api/runs/{id}/resume': { post: At<Id> & Reply<Run> };
  '/api/runs/{id}/cancel': { post: At<Id> & Reply<Run> };
  '/api/runs/{id}/stages/{stage}/retry': { post: At<{ id: number; stage: Stage }> & Reply<Run> };
  '/api/models': { get: Reply<List<Model>> };
  '/api/llm/providers': { get: Ask<Page> & Reply<List<Provider>> };
  '/api/plugins': { get: Reply<List<Plugin>> };
  '/api/plugins/{slug}': { get: At<{ slug: string }> & Reply<Plugin>; delete: At<{ slug: string }> & Empty };
  '/api/plugins/{slug}/config': { put: At<{ slug: string }> & Send<Record<string, unknown>> & Reply<Plugin> };
  '/api/plugins/{slug}/enable': { post: At<{ slug: string }> & Reply<Plugin> };
  '/api/plugins/{slug}/disable': { post: At<{ slug: string }> & Reply<Plugin> };
  '/api/audit': {
    get: Ask<
      Page & { organization_id?: number; action?: AuditAction; resource_type?: string; actor?: string }
    > &
      Reply<List<AuditEntry>>;
  };
}
