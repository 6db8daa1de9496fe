//! The fields of payloads, in the groups that hooks have in common.

use super::Form::{Flag, Int, List, MaybeInt, MaybeObject, MaybeText, Messages, Text};
use super::{Field, Form};

const fn field(name: &'static str, form: Form, example: &'static str, about: &'static str) -> Field {
    Field { name, form, example, about }
}

pub(super) const ORG: &[Field] = &[field("organization_id", Int, "3", "The organisation it happens in.")];

pub(super) const MAYBE_ORG: &[Field] =
    &[field("organization_id", MaybeInt, "3", "The organisation that is told; null: the site.")];

pub(super) const BY: &[Field] = &[
    field("actor", Text, "\"user\"", "Who acts: user, service, operator, agent or system."),
    field("user_id", MaybeInt, "12", "The person, or on whose behalf; null: the local operator or the product."),
    field("user_name", Text, "\"ana\"", "The name of who acts."),
];

pub(super) const NEW_PROJECT: &[Field] = &[
    field("name", Text, "\"Shop\"", "The project's name."),
    field("team_id", MaybeInt, "null", "The team it will belong to."),
];

pub(super) const PROJECT: &[Field] = &[
    field("project_id", Int, "41", "The project."),
    field("name", Text, "\"Shop\"", "Its name."),
    field("status", Text, "\"pending\"", "pending, planning, developing, testing, completed, failed or canceled."),
    field("team_id", MaybeInt, "null", "The team it belongs to."),
];

pub(super) const PROJECT_DONE: &[&[Field]] = &[PROJECT, ORG, BY];

pub(super) const CHANGED: &[Field] =
    &[field("changed", List, "[\"name\"]", "What changes: name, requirements, team_id, quality_gate.")];

pub(super) const NEW_FILE: &[Field] = &[
    field("project_id", Int, "41", "The project."),
    field("path", Text, "\"src/main.py\"", "Relative to the project, with `/`."),
    field("language", MaybeText, "\"python\"", "Null when the name says nothing."),
    field("size", Int, "220", "Bytes."),
];

const FILE: &[Field] = &[
    field("file_id", Int, "77", "The file."),
    field("version", Int, "2", "Its latest version, from 1."),
    field("sha256", Text, "\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"", "Of its content."),
];

pub(super) const FILE_DONE: &[&[Field]] = &[NEW_FILE, FILE, ORG, BY];

pub(super) const RUN: &[Field] = &[
    field("run_id", Int, "9", "The run."),
    field("project_id", Int, "41", "Its project."),
    field("model", Text, "\"qwen2.5-coder\"", "The model it works with."),
    field("iteration", Int, "1", "How often development was begun, from 1."),
];

pub(super) const RUN_END: &[Field] = &[
    field("status", Text, "\"completed\"", "completed, failed or canceled."),
    field("tokens_used", Int, "12000", "Of prompts and answers."),
    field("error", MaybeObject, "null", "`code` and `detail` of what it failed of."),
];

pub(super) const AGENT: &[Field] = &[
    field("role", Text, "\"developer\"", "The agent's role."),
    field("stage", Text, "\"development\"", "The stage of the run."),
];

pub(super) const AGENT_DONE: &[Field] = &[
    field("summary", Text, "\"Wrote the server.\"", "What was done, in its own words."),
    field("files", List, "[\"src/main.py\"]", "The files it wrote."),
    field("tokens", Int, "2100", "Of the turn's last question and answer."),
    field("approved", Flag, "true", "False: a review that did not approve the work."),
];

pub(super) const AGENT_ERROR: &[Field] = &[
    field("code", Text, "\"upstream_timeout\"", "The error's code."),
    field("detail", Text, "\"The model server did not answer.\"", "What happened."),
    field("final", Flag, "false", "True: the run failed with it; else the turn is tried again."),
];

pub(super) const CODE: &[Field] = &[
    field("code", Text, "\"print(1)\\n\"", "The file's text."),
    field("language", Text, "\"python\"", "Empty when nobody knows."),
    field("file_path", Text, "\"src/main.py\"", "Relative to the project, with `/`."),
    field("project_id", Int, "41", "The project."),
];

pub(super) const CALL: &[Field] = &[
    field("source", Text, "\"gateway\"", "`gateway` for `/v1/chat/completions`, `run` for agents."),
    field("model", Text, "\"qwen2.5-coder\"", "As users see it."),
    field("provider", Text, "\"local\"", "The model server's name."),
    field("project_id", MaybeInt, "41", "The project of the run; null for the gateway."),
];

pub(super) const TOKENS: &[Field] = &[
    field("prompt_tokens", Int, "800", "As they are counted against the quota."),
    field("completion_tokens", Int, "120", "As they are counted against the quota."),
];

pub(super) const CODE_OF_ERROR: &[Field] = &[field("code", Text, "\"upstream_timeout\"", "The error's code.")];

pub(super) const USER: &[Field] = &[
    field("user_id", Int, "12", "The person, or the service account."),
    field("user_name", Text, "\"ana\"", "Their name."),
];

pub(super) const REQUIREMENTS: &[Field] = &[
    field("requirements", Text, "\"A web shop for tea.\"", "At most 200,000 bytes."),
    field("project_id", Int, "41", "The project."),
];

pub(super) const CONTENT: &[Field] = &[
    field("content", Text, "\"print(1)\\n\"", "The file's text; it must not become empty."),
    field("language", Text, "\"python\"", "Empty when nobody knows."),
    field("file_path", Text, "\"src/main.py\"", "Relative to the project, with `/`."),
    field("project_id", Int, "41", "The project."),
    field("run_id", Int, "9", "The run."),
    field("role", Text, "\"developer\"", "The agent's role."),
];

pub(super) const PROMPT: &[Field] = &[field(
    "messages",
    Messages,
    "[{\"role\": \"user\", \"content\": \"Hello\"}]",
    "The conversation, as OpenAI describes it.",
)];

pub(super) const RESPONSE: &[Field] = &[field("text", Text, "\"Hello.\"", "The words of the answer.")];
