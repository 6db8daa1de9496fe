//! Every hook there is: its name, what fires it, what it hands over, and what may be answered.
//!
//! Invariant: this table is the contract with plugin authors. The page `docs/plugins/hooks.md` is written from it, the
//! SDK's class `Hooks` is compared with it, and an answer is held to it.

use std::time::Duration;

use serde_json::{Map, Value};

mod fields;

use Form::{Flag, Int, List, MaybeInt, MaybeObject, MaybeText, Messages, Text};

/// A place where plugins are told or asked. The order is that of the SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    ProjectCreateBefore,
    ProjectCreateAfter,
    ProjectUpdateBefore,
    ProjectUpdateAfter,
    ProjectDeleteBefore,
    ProjectDeleteAfter,
    ProjectExecuteStart,
    ProjectExecuteComplete,
    FileCreateBefore,
    FileCreateAfter,
    FileUpdateBefore,
    FileUpdateAfter,
    FileDeleteBefore,
    FileDeleteAfter,
    AgentStart,
    AgentComplete,
    AgentError,
    CodeAnalyze,
    CodeFormat,
    CodeLint,
    LlmRequestBefore,
    LlmRequestAfter,
    LlmError,
    UserLogin,
    UserLogout,
    UserRegister,
    FilterProjectRequirements,
    FilterCodeContent,
    FilterLlmPrompt,
    FilterLlmResponse,
}

/// Whether plugins are told or asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Told; no answer.
    Action,
    /// Given a value; the answer takes its place.
    Filter,
    /// A filter that may be listened to as well: an action there is told what the filters are given.
    Both,
}

/// When plugins are called, seen from what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Afterwards, in order within the organisation; nothing waits.
    Later,
    /// What is about to happen waits, this long for each plugin; they are called side by side.
    Before(Duration),
    /// What happens waits, this long for each call, and this long for all of them.
    Asked { each: Duration, all: Duration },
}

/// What a field of a payload holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Int,
    MaybeInt,
    /// At most 8 MiB when it comes from a filter.
    Text,
    MaybeText,
    Flag,
    /// Of texts.
    List,
    /// Of objects with at least the text `role`.
    Messages,
    MaybeObject,
}

/// One field of a payload.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub form: Form,
    /// As JSON.
    pub example: &'static str,
    pub about: &'static str,
}

/// What there is to know about a hook.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    pub hook: Hook,
    pub name: &'static str,
    pub kind: Kind,
    pub pace: Pace,
    /// A sentence.
    pub when: &'static str,
    pub fields: &'static [&'static [Field]],
    /// The fields a filter may answer anew. When it is one text, a filter may answer with the text alone.
    pub changes: &'static [&'static str],
    /// Whether a filter may add keys of its own.
    pub open: bool,
}

/// The most a filter may answer, in bytes of JSON.
pub const MAX_ANSWER: usize = 12 << 20;
/// The most text of one field of an answer, in bytes.
const MAX_TEXT: usize = 8 << 20;
const MAX_MESSAGES: usize = 10_000;

const BEFORE: Pace = Pace::Before(Duration::from_secs(1));
const ASKED: Pace = Pace::Asked { each: Duration::from_secs(2), all: Duration::from_secs(10) };
/// On the way of every answer of a model, and of every file that an agent writes.
const ASKED_OFTEN: Pace = Pace::Asked { each: Duration::from_secs(1), all: Duration::from_secs(3) };
/// Whole files are looked at: as long as a call may take at all.
const EXAMINED: Pace = Pace::Asked { each: Duration::from_secs(10), all: Duration::from_secs(60) };

impl Hook {
    pub const COUNT: usize = SPECS.len();

    pub fn spec(self) -> &'static Spec {
        &SPECS[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.spec().name
    }

    pub fn all() -> impl Iterator<Item = &'static Spec> {
        SPECS.iter()
    }

    pub fn by_name(name: &str) -> Option<Self> {
        SPECS.iter().find(|spec| spec.name == name).map(|spec| spec.hook)
    }
}

impl Kind {
    /// Whether a callback registered as an action is called.
    pub fn tells(self) -> bool {
        self != Self::Filter
    }

    /// Whether a callback registered as a filter is called.
    pub fn asks(self) -> bool {
        self != Self::Action
    }
}

impl Spec {
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().copied().flatten()
    }

    /// Whether a callback registered as `action` or `filter` is ever called.
    pub fn calls(&self, registered: &str) -> bool {
        if registered == "filter" { self.kind.asks() } else { self.kind.tells() }
    }

    fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields().find(|field| field.name == name)
    }

    /// What is wrong with a payload, if anything is: a field that is missing, unknown or of another form.
    pub fn fault(&self, payload: &Map<String, Value>) -> Option<String> {
        if let Some(unknown) = payload.keys().find(|key| self.field(key).is_none()) {
            return Some(format!("`{unknown}` is no field of {}", self.name));
        }
        self.fields().find_map(|field| match payload.get(field.name) {
            None => Some(format!("`{}` is missing", field.name)),
            Some(value) => field.form.fault(value).map(|rule| format!("`{}` {rule}", field.name)),
        })
    }

    /// The value after a filter's answer.
    ///
    /// # Errors
    /// What is wrong with the answer, to follow "it answered wrongly: ".
    pub fn take_over(&self, value: &Map<String, Value>, answer: Value) -> Result<Map<String, Value>, String> {
        let mut after = value.clone();
        let answer = match (answer, self.changes) {
            (Value::Object(answer), _) => answer,
            (Value::String(text), [only]) => Map::from_iter([((*only).to_owned(), Value::String(text))]),
            _ => return Err(format!("it is no object; a filter on {} returns the one it was given", self.name)),
        };
        for (key, new) in answer {
            if value.get(&key) == Some(&new) {
                continue;
            }
            match self.field(&key) {
                Some(field) if self.changes.contains(&field.name) => {
                    if let Some(rule) = field.form.fault(&new) {
                        return Err(format!("`{key}` {rule}"));
                    }
                }
                None if self.open => {}
                _ => {
                    let may = self.changes.join(", ");
                    return Err(format!("it changes `{key}`; a filter on {} may change {may} only", self.name));
                }
            }
            after.insert(key, new);
        }
        Ok(after)
    }
}

impl Form {
    /// The rule that `value` breaks.
    fn fault(self, value: &Value) -> Option<&'static str> {
        let short = |text: &String| text.len() <= MAX_TEXT && !text.contains('\0');
        let (fits, rule) = match (self, value) {
            (MaybeInt | MaybeText | MaybeObject, Value::Null) => return None,
            (Int | MaybeInt, value) => (value.is_i64(), "must be a whole number"),
            (Text | MaybeText, Value::String(text)) => (short(text), "must be a text of at most 8 MiB without NUL"),
            (Text | MaybeText, _) => (false, "must be a text"),
            (Flag, value) => (value.is_boolean(), "must be true or false"),
            (List, Value::Array(items)) => (items.iter().all(Value::is_string), "must be a list of texts"),
            (List, _) => (false, "must be a list of texts"),
            (Messages, Value::Array(items)) => {
                let good = |item: &Value| item.get("role").is_some_and(Value::is_string);
                let fits = (1..=MAX_MESSAGES).contains(&items.len()) && items.iter().all(good);
                (fits, "must be a list of 1 to 10,000 messages, each with a `role`")
            }
            (Messages, _) => (false, "must be a list of messages"),
            (MaybeObject, value) => (value.is_object(), "must be an object or null"),
        };
        (!fits).then_some(rule)
    }

    /// In the words of JSON Schema.
    pub fn schema(self) -> Value {
        let kind = match self {
            Int => "integer".into(),
            MaybeInt => serde_json::json!(["integer", "null"]),
            Text => "string".into(),
            MaybeText => serde_json::json!(["string", "null"]),
            Flag => "boolean".into(),
            List => return serde_json::json!({"type": "array", "items": {"type": "string"}}),
            Messages => {
                let role = serde_json::json!({"type": "object", "required": ["role"]});
                return serde_json::json!({"type": "array", "minItems": 1, "maxItems": MAX_MESSAGES, "items": role});
            }
            MaybeObject => serde_json::json!(["object", "null"]),
        };
        serde_json::json!({"type": kind})
    }
}

const fn action(
    hook: Hook,
    name: &'static str,
    pace: Pace,
    when: &'static str,
    fields: &'static [&'static [Field]],
) -> Spec {
    Spec { hook, name, kind: Kind::Action, pace, when, fields, changes: &[], open: false }
}

const fn filter(
    hook: Hook,
    name: &'static str,
    pace: Pace,
    when: &'static str,
    fields: &'static [&'static [Field]],
    changes: &'static [&'static str],
) -> Spec {
    Spec { hook, name, kind: Kind::Filter, pace, when, fields, changes, open: false }
}

const fn examination(
    hook: Hook,
    name: &'static str,
    when: &'static str,
    changes: &'static [&'static str],
    open: bool,
) -> Spec {
    Spec { hook, name, kind: Kind::Both, pace: EXAMINED, when, fields: &[fields::CODE, fields::ORG], changes, open }
}

/// By [`Hook`] as a number.
static SPECS: [Spec; 30] = {
    use Hook as H;
    use Pace::Later;
    use fields as f;
    [
        action(
            H::ProjectCreateBefore,
            "project.create.before",
            BEFORE,
            "Before a project is made.",
            &[f::NEW_PROJECT, f::ORG, f::BY],
        ),
        action(H::ProjectCreateAfter, "project.create.after", Later, "A project was made.", f::PROJECT_DONE),
        action(
            H::ProjectUpdateBefore,
            "project.update.before",
            BEFORE,
            "Before a project's name, requirements or team are changed; the payload shows it as it still is.",
            &[f::PROJECT, f::CHANGED, f::ORG, f::BY],
        ),
        action(
            H::ProjectUpdateAfter,
            "project.update.after",
            Later,
            "A project's name, requirements or team were changed; a change that changes nothing is not told.",
            &[f::PROJECT, f::CHANGED, f::ORG, f::BY],
        ),
        action(
            H::ProjectDeleteBefore,
            "project.delete.before",
            BEFORE,
            "Before a project is deleted with its files and runs.",
            f::PROJECT_DONE,
        ),
        action(H::ProjectDeleteAfter, "project.delete.after", Later, "A project was deleted.", f::PROJECT_DONE),
        action(
            H::ProjectExecuteStart,
            "project.execute.start",
            Later,
            "A run began to work, also when a stage of it is done again.",
            &[f::RUN, f::ORG, f::BY],
        ),
        action(
            H::ProjectExecuteComplete,
            "project.execute.complete",
            Later,
            "A run ended: completed, failed or canceled.",
            &[f::RUN, f::RUN_END, f::ORG, f::BY],
        ),
        action(
            H::FileCreateBefore,
            "file.create.before",
            BEFORE,
            "Before a file is made, by people, agents, plugins or a template.",
            &[f::NEW_FILE, f::ORG, f::BY],
        ),
        action(H::FileCreateAfter, "file.create.after", Later, "A file was made.", f::FILE_DONE),
        action(
            H::FileUpdateBefore,
            "file.update.before",
            BEFORE,
            "Before a new version of a file is written, also when an older one is restored; the payload shows the file as it still is.",
            f::FILE_DONE,
        ),
        action(
            H::FileUpdateAfter,
            "file.update.after",
            Later,
            "A file has a new version. Writing what it holds already is not told.",
            f::FILE_DONE,
        ),
        action(H::FileDeleteBefore, "file.delete.before", BEFORE, "Before a file is deleted.", f::FILE_DONE),
        action(
            H::FileDeleteAfter,
            "file.delete.after",
            Later,
            "A file was deleted by itself; when its project goes, only that is told.",
            f::FILE_DONE,
        ),
        action(
            H::AgentStart,
            "agent.start",
            Later,
            "An agent began a turn of a run.",
            &[f::RUN, f::AGENT, f::ORG, f::BY],
        ),
        action(
            H::AgentComplete,
            "agent.complete",
            Later,
            "An agent's turn ended well, and its files are written.",
            &[f::RUN, f::AGENT, f::AGENT_DONE, f::ORG, f::BY],
        ),
        action(
            H::AgentError,
            "agent.error",
            Later,
            "An agent's turn failed.",
            &[f::RUN, f::AGENT, f::AGENT_ERROR, f::ORG, f::BY],
        ),
        examination(
            H::CodeAnalyze,
            "code.analyze",
            "A text file has a new version, or somebody asks for the analysis. Add findings under a key of your own.",
            &[],
            true,
        ),
        examination(
            H::CodeFormat,
            "code.format",
            "Somebody asks how a file would look in order: `POST /api/files/{id}/format`. Nothing is written.",
            &["code"],
            false,
        ),
        examination(
            H::CodeLint,
            "code.lint",
            "Somebody asks for a quick look at a file: `POST /api/files/{id}/lint`. Findings are shown and not kept.",
            &[],
            true,
        ),
        action(
            H::LlmRequestBefore,
            "llm.request.before",
            BEFORE,
            "Before a model is asked, by an agent or through `/v1/chat/completions`.",
            &[f::CALL, f::ORG, f::BY],
        ),
        action(
            H::LlmRequestAfter,
            "llm.request.after",
            Later,
            "A model's answer came whole.",
            &[f::CALL, f::TOKENS, f::ORG, f::BY],
        ),
        action(
            H::LlmError,
            "llm.error",
            Later,
            "A call of a model failed, or was left before its end (`client_left`).",
            &[f::CALL, f::TOKENS, f::CODE_OF_ERROR, f::ORG, f::BY],
        ),
        action(
            H::UserLogin,
            "user.login",
            Later,
            "Somebody signed in. Told once in each organisation where they hold a role, else to the site.",
            &[f::USER, f::MAYBE_ORG],
        ),
        action(
            H::UserLogout,
            "user.logout",
            Later,
            "Somebody signed out. Told as `user.login` is.",
            &[f::USER, f::MAYBE_ORG],
        ),
        action(
            H::UserRegister,
            "user.register",
            Later,
            "An account was made: by registration, by an administrator, or by accepting an invitation.",
            &[f::USER, f::MAYBE_ORG],
        ),
        filter(
            H::FilterProjectRequirements,
            "filter.project.requirements",
            ASKED,
            "A run is started: what it is to build.",
            &[f::REQUIREMENTS, f::ORG, f::BY],
            &["requirements"],
        ),
        filter(
            H::FilterCodeContent,
            "filter.code.content",
            ASKED_OFTEN,
            "An agent wrote a file: its content, before it is kept and looked at.",
            &[f::CONTENT, f::ORG],
            &["content"],
        ),
        filter(
            H::FilterLlmPrompt,
            "filter.llm.prompt",
            ASKED_OFTEN,
            "A model is about to be asked, by an agent or through `/v1/chat/completions`: the messages. What is added to an agent's question is taken off the room for its answer.",
            &[f::PROMPT, f::CALL, f::ORG, f::BY],
            &["messages"],
        ),
        filter(
            H::FilterLlmResponse,
            "filter.llm.response",
            ASKED_OFTEN,
            "A model answered: the text of each choice. Where a plugin registers this, a streamed answer is held back until it is whole.",
            &[f::RESPONSE, f::CALL, f::ORG, f::BY],
            &["text"],
        ),
    ]
};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_table_is_in_the_order_of_the_hooks_and_of_the_sdk() {
        for (place, spec) in Hook::all().enumerate() {
            assert_eq!((spec.hook as usize, Hook::by_name(spec.name)), (place, Some(spec.hook)));
        }
        let sdk = include_str!("../../plugin-sdk/python/resoftai/plugins/hooks.py");
        let constants: Vec<(&str, &str)> = sdk
            .lines()
            .filter_map(|line| line.strip_prefix("    ")?.split_once(" = \""))
            .filter(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
            .map(|(name, value)| (name, value.trim_end_matches('"')))
            .collect();
        assert_eq!(
            constants.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
            Hook::all().map(|s| s.name).collect::<Vec<_>>()
        );
        for (name, value) in constants {
            assert_eq!(name, value.replace('.', "_").to_uppercase());
        }
    }

    #[test]
    fn every_example_fits_its_own_schema_and_every_change_is_a_field() {
        for spec in Hook::all() {
            let example: Map<String, Value> = spec
                .fields()
                .map(|field| (field.name.to_owned(), serde_json::from_str(field.example).unwrap()))
                .collect();
            assert_eq!(example.len(), spec.fields().count(), "{}: a field is there twice", spec.name);
            assert_eq!(spec.fault(&example), None, "{}", spec.name);
            assert!(spec.changes.iter().all(|name| spec.field(name).is_some()), "{}", spec.name);
            assert_eq!(spec.kind == Kind::Action, !matches!(spec.pace, Pace::Asked { .. }), "{}", spec.name);
        }
    }

    #[test]
    fn an_answer_changes_what_it_may_and_nothing_else() {
        let spec = Hook::FilterCodeContent.spec();
        let value = map(&json!({"content": "a", "file_path": "x.py"}));
        let content = |answer: Value| spec.take_over(&value, answer).map(|after| after["content"].clone());
        assert_eq!(content(json!({"content": "b", "file_path": "x.py"})), Ok(json!("b")));
        assert_eq!(content(json!({"content": "b"})), Ok(json!("b")));
        assert_eq!(content(json!("b")), Ok(json!("b")), "the text alone");
        for wrong in [
            json!({"content": "b", "file_path": "y.py"}),
            json!({"content": 5}),
            json!({"content": "\u{0}"}),
            json!({"more": 1}),
            json!(["b"]),
            json!(null),
        ] {
            assert!(content(wrong.clone()).is_err(), "{wrong}");
        }
        let lint = Hook::CodeLint.spec();
        let value = map(&json!({"code": "a"}));
        assert!(lint.take_over(&value, json!({"code": "a", "mine": []})).is_ok_and(|after| after.contains_key("mine")));
        assert!(lint.take_over(&value, json!({"code": "b"})).is_err());
        assert!(lint.take_over(&value, json!("b")).is_err(), "no single text may be changed");
    }
}
