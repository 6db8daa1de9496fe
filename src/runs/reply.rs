//! What a role is asked to answer with, and how whatever the model said becomes that.
//!
//! Invariant: no answer makes this fail in any other way than a sentence that tells the model what to do better; what
//! comes out names files inside the project only, each once, in bounded number.
//!
//! Where the model's server can hold answers to a JSON Schema, the schema keeps the form; where it cannot, the same is
//! asked for in words, and documents and fenced file blocks ([`super::blocks`]) are taken too.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::blocks;
use super::plan::{Plan, Player, Step};
use super::workflow::AgentRole;
use crate::projects::path::ProjectPath;

/// Files in one answer.
pub const MAX_FILES: usize = 30;
pub const MAX_SUMMARY: usize = 400;
const MIN_DOCUMENT: usize = 200;
const MAX_PROBLEMS: usize = 10;
const MAX_PROBLEM: usize = 400;

/// The form of a role's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form<'a> {
    /// One document, at this path.
    Document(&'a str),
    /// Files the role names.
    Files,
    /// A document at this path, and a verdict.
    Review(&'a str),
}

impl<'a> Form<'a> {
    /// What the player of `step` answers with.
    pub fn of(plan: &'a Plan, step: Step) -> Self {
        let produces = plan.stage(step).produces.as_deref();
        match (plan.player(step), produces) {
            (Player::Own(AgentRole::QualityExpert), Some(path)) => Self::Review(path),
            (_, Some(path)) => Self::Document(path),
            (Player::Own(role), None) => Self::of_role(*role),
            (Player::Plugin(_), None) => Self::Files,
        }
    }

    fn of_role(role: AgentRole) -> Self {
        match role {
            AgentRole::ProjectManager => Self::Document("planning/development-plan.md"),
            AgentRole::RequirementsAnalyst => Self::Document("requirements/SRS.md"),
            AgentRole::Architect => Self::Document("architecture/architecture.md"),
            AgentRole::UxuiDesigner => Self::Document("design/ui-design.md"),
            AgentRole::Developer | AgentRole::TestEngineer => Self::Files,
            AgentRole::QualityExpert => Self::Review("quality/quality-assessment.md"),
        }
    }

    /// The JSON Schema of the answer.
    pub fn schema(self) -> Value {
        let summary = json!({"type": "string", "maxLength": MAX_SUMMARY});
        // A model that is held to the form would else come to its end with nothing said.
        let text = json!({"type": "string", "minLength": MIN_DOCUMENT});
        let content = json!({"type": "string", "minLength": 1});
        let (properties, required) = match self {
            Self::Document(_) => (json!({"summary": summary, "document": text}), json!(["summary", "document"])),
            Self::Files => {
                // Short names: a small model that loses its way in one would otherwise never leave it.
                let path = "^[A-Za-z0-9_-]{1,40}(/[A-Za-z0-9_-]{1,40}){0,4}\\.[A-Za-z0-9]{1,10}$";
                let file = json!({"type": "object", "additionalProperties": false, "required": ["path", "content"],
                    "properties": {"path": {"type": "string", "pattern": path}, "content": content}});
                let files = json!({"type": "array", "minItems": 1, "maxItems": MAX_FILES, "items": file});
                (json!({"summary": summary, "files": files}), json!(["summary", "files"]))
            }
            Self::Review(_) => {
                let problem = json!({"type": "string", "maxLength": MAX_PROBLEM});
                let problems = json!({"type": "array", "maxItems": MAX_PROBLEMS, "items": problem});
                let properties = json!({"summary": summary, "approved": {"type": "boolean"}, "problems": problems, "document": text});
                (properties, json!(["summary", "approved", "problems", "document"]))
            }
        };
        json!({"type": "object", "additionalProperties": false, "properties": properties, "required": required})
    }

    /// How to answer, in words. A model that is `held` to the schema needs no example, and a small one would copy it.
    pub fn words(self, held: bool) -> &'static str {
        match (self, held) {
            (Self::Document(_), true) => "Say in one sentence what you decided, then write the whole document.",
            (Self::Files, true) => {
                "Say in one sentence what you wrote, then give each file with its path and its whole content."
            }
            (Self::Review(_), true) => {
                "Say in one sentence what you found, whether you approve, each problem to mend, then write the whole review."
            }
            (Self::Document(_), false) => {
                "Answer with one JSON object: {\"summary\": \"one sentence\", \"document\": \"the whole document in Markdown\"}."
            }
            (Self::Files, false) => {
                "Answer with one JSON object: {\"summary\": \"one sentence\", \"files\": [{\"path\": \"folder/name.ext\", \"content\": \"the whole file\"}]}. Paths are relative to the project. If you cannot write JSON, write each file as a fenced block with its path on the line before."
            }
            (Self::Review(_), false) => {
                "Answer with one JSON object: {\"summary\": \"one sentence\", \"approved\": true or false, \"problems\": [\"what to mend, one sentence each\"], \"document\": \"the whole review in Markdown\"}."
            }
        }
    }
}

/// An answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// One sentence about what was done.
    pub summary: String,
    /// At least one.
    pub files: Vec<NewFile>,
    pub approved: bool,
    /// What the review wants mended.
    pub problems: Vec<String>,
}

/// A file an agent wants written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    pub path: ProjectPath,
    pub content: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    summary: String,
    document: String,
    files: Vec<AnswerFile>,
    approved: Option<bool>,
    problems: Vec<String>,
}

#[derive(Deserialize)]
struct AnswerFile {
    path: String,
    content: String,
}

/// Makes a reply of a model's text.
///
/// # Errors
/// A sentence for the model, saying what is wrong with its answer and how to answer instead.
pub fn read(form: Form<'_>, text: &str) -> Result<Reply, String> {
    let text = without_thoughts(text).trim();
    if text.is_empty() {
        return Err("The answer was empty.".to_owned());
    }
    match object(text) {
        Some(answer) => from_object(form, answer),
        None => from_prose(form, text),
    }
}

/// Makes a reply of files that were handed in as such, (path, text) each.
///
/// # Errors
/// A sentence that says what is wrong with them.
pub fn of_files(files: Vec<(String, String)>) -> Result<Reply, String> {
    let files = checked(files.into_iter())?;
    Ok(Reply { summary: summary("", &files), files, approved: true, problems: Vec::new() })
}

fn from_object(form: Form<'_>, answer: Answer) -> Result<Reply, String> {
    let files = match form {
        Form::Document(path) | Form::Review(path) => vec![document(path, &answer.document)?],
        Form::Files => checked(answer.files.into_iter().map(|file| (file.path, file.content)))?,
    };
    let approved = match (form, answer.approved) {
        (Form::Review(_), None) => return Err("The answer does not say whether the work is `approved`.".to_owned()),
        (_, approved) => approved.unwrap_or(true),
    };
    let problems = answer.problems.iter().map(|problem| one_line(problem, MAX_PROBLEM));
    let problems = problems.filter(|problem| !problem.is_empty()).take(MAX_PROBLEMS).collect();
    Ok(Reply { summary: summary(&answer.summary, &files), files, approved, problems })
}

fn from_prose(form: Form<'_>, text: &str) -> Result<Reply, String> {
    let (files, approved) = match form {
        Form::Document(path) => (vec![document(path, text)?], true),
        Form::Files => (checked(blocks::read(text)?.into_iter())?, true),
        Form::Review(path) => (vec![document(path, text)?], verdict(text)?),
    };
    let first = text.lines().map(|line| line.trim_start_matches(['#', '*', '-', ' '])).find(|line| !line.is_empty());
    let first = if form == Form::Files { "" } else { first.unwrap_or_default() };
    Ok(Reply { summary: summary(first, &files), files, approved, problems: Vec::new() })
}

/// The answer as JSON: all of it, or the object inside of a fence or of some words around it.
fn object(text: &str) -> Option<Answer> {
    let whole = text.find('{').zip(text.rfind('}')).filter(|(open, close)| open < close);
    let (open, close) = whole?;
    let found: Value = serde_json::from_str(text).or_else(|_| serde_json::from_str(&text[open..=close])).ok()?;
    let known = ["document", "files", "approved"].into_iter().any(|key| found.get(key).is_some());
    if known { serde_json::from_value(found).ok() } else { None }
}

/// What models that think aloud put before their answer.
fn without_thoughts(text: &str) -> &str {
    let text = text.trim_start();
    match text.strip_prefix("<think>") {
        Some(thought) => thought.split_once("</think>").map_or("", |(_, answer)| answer),
        None => text,
    }
}

fn document(path: &str, text: &str) -> Result<NewFile, String> {
    if text.trim().is_empty() {
        return Err("The document is empty.".to_owned());
    }
    let path = ProjectPath::parse(path).map_err(|error| error.to_string())?;
    Ok(NewFile { path, content: content(text.trim()) })
}

/// Checks what was named as files: paths inside the project, each once (the last one counts), none empty.
fn checked(found: impl Iterator<Item = (String, String)>) -> Result<Vec<NewFile>, String> {
    let mut files: Vec<NewFile> = Vec::new();
    for (name, text) in found {
        let path =
            ProjectPath::parse(tidy(&name)).map_err(|error| format!("{error} Use another path for that file."))?;
        if text.trim().is_empty() {
            return Err(format!("The file {} is empty. Write all of it.", path.as_str()));
        }
        files.retain(|file| file.path.key() != path.key());
        files.push(NewFile { path, content: content(&text) });
    }
    if files.is_empty() {
        return Err("The answer names no file.".to_owned());
    }
    if files.len() > MAX_FILES {
        return Err(format!("The answer has {} files; at most {MAX_FILES} are taken at once.", files.len()));
    }
    folders_are_no_files(&files)?;
    Ok(files)
}

fn folders_are_no_files(files: &[NewFile]) -> Result<(), String> {
    let names: HashSet<&str> = files.iter().map(|file| file.path.key()).collect();
    let clash = files.iter().find_map(|file| file.path.folder_keys().find(|folder| names.contains(folder)));
    clash.map_or(Ok(()), |name| {
        Err(format!("`{name}` is named as a file and as a folder. Use another name for one of them."))
    })
}

/// Spellings of "inside the project" that models use.
fn tidy(path: &str) -> &str {
    let path = path.trim().trim_matches(['`', '"', '\'', '*']);
    path.trim_start_matches("./").trim_start_matches('/')
}

/// Text as it is stored: no NUL, and a newline at the end as every tool expects.
fn content(text: &str) -> String {
    let mut text = text.replace('\0', "");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn verdict(text: &str) -> Result<bool, String> {
    let text = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["not approved", "not approve", "rejected", "approved: false", "\"approved\": false"]) {
        return Ok(false);
    }
    if says(&["approved", "i approve"]) {
        return Ok(true);
    }
    Err("The review does not say whether the work is approved or not approved.".to_owned())
}

fn summary(text: &str, files: &[NewFile]) -> String {
    let text = one_line(text, MAX_SUMMARY);
    if !text.is_empty() {
        return text;
    }
    let names: Vec<&str> = files.iter().take(5).map(|file| file.path.as_str()).collect();
    let more = files.len().saturating_sub(names.len());
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    one_line(&format!("Wrote {}{rest}.", names.join(", ")), MAX_SUMMARY)
}

/// At most `most` characters in one line, without control characters.
pub fn one_line(text: &str, most: usize) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(most).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMS: [Form<'static>; 3] = [Form::Document("a/b.md"), Form::Files, Form::Review("c.md")];

    fn files(text: &str) -> Result<Vec<(String, String)>, String> {
        let reply = read(Form::Files, text)?;
        Ok(reply.files.into_iter().map(|file| (file.path.as_str().to_owned(), file.content)).collect())
    }

    fn named(path: &str, content: &str) -> Vec<(String, String)> {
        vec![(path.to_owned(), content.to_owned())]
    }

    #[test]
    fn json_is_taken_bare_fenced_and_with_words_around() {
        let json = r#"{"summary": "Did  it.", "files": [{"path": "./src/app.py", "content": "print(1)"}]}"#;
        for text in [
            json.to_owned(),
            format!("```json\n{json}\n```"),
            format!("Here you are:\n{json}\nEnjoy!"),
            format!("<think>{{hm}}</think>{json}"),
        ] {
            assert_eq!(files(&text).unwrap(), named("src/app.py", "print(1)\n"), "{text}");
            assert_eq!(read(Form::Files, &text).unwrap().summary, "Did it.");
        }
    }

    #[test]
    fn prose_is_a_document_and_fences_are_files() {
        let reply = read(Form::Document("docs/plan.md"), "# Plan\n\nBuild it.").unwrap();
        assert_eq!((reply.summary.as_str(), reply.files[0].content.as_str()), ("Plan", "# Plan\n\nBuild it.\n"));
        let text = "First the program:\n\n**src/main.py**\n```python\nprint(1)\n```\n";
        assert_eq!(files(text).unwrap(), named("src/main.py", "print(1)\n"));
        assert_eq!(read(Form::Files, text).unwrap().summary, "Wrote src/main.py.");
    }

    #[test]
    fn a_review_must_give_its_verdict() {
        let approved = |text: &str| read(Form::Review("q.md"), text).map(|reply| reply.approved);
        assert_eq!(approved("All good. Approved."), Ok(true));
        assert_eq!(approved("Two problems: not approved."), Ok(false));
        assert_eq!(approved(r#"{"approved": false, "problems": ["a\nb"], "document": "x", "summary": ""}"#), Ok(false));
        assert!(approved("It is a program.").unwrap_err().contains("approved"));
        assert!(approved(r#"{"document": "x"}"#).unwrap_err().contains("approved"));
    }

    #[test]
    fn what_cannot_be_used_is_told_in_words() {
        for (text, word) in [
            ("", "empty"),
            ("<think>for ever", "empty"),
            (r#"{"files": []}"#, "no file"),
            (r#"{"files": [{"path": "../x.py", "content": "1"}]}"#, "`"),
            (r#"{"files": [{"path": "x.py", "content": " "}]}"#, "x.py"),
            (r#"{"files": [{"path": "a", "content": "1"}, {"path": "A/b", "content": "1"}]}"#, "folder"),
            ("I would write a program.", "file"),
        ] {
            let told = files(text).unwrap_err();
            assert!(told.contains(word), "{text}: {told}");
        }
    }

    #[test]
    fn a_file_named_twice_counts_once() {
        let text = r#"{"files": [{"path": "a.py", "content": "1"}, {"path": "A.py", "content": "2"}]}"#;
        assert_eq!(files(text).unwrap(), named("A.py", "2\n"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "(\\{|\\}|`|```|\"files\"|\"path\"|:|\\[|\\]|a\\.py|/|\\.\\.|\\PC|\n){0,60}") {
            for form in FORMS {
                if let Ok(reply) = read(form, &text) {
                    prop_assert!(!reply.files.is_empty() && reply.files.len() <= MAX_FILES);
                    prop_assert!(reply.summary.chars().count() <= MAX_SUMMARY);
                }
            }
        }

        #[test]
        fn files_survive_the_way_through_json(contents in proptest::collection::vec("[^\0]*[^\0\\s]\n", 1..5)) {
            let asked: Vec<_> = contents.iter().enumerate().map(|(at, text)| json!({"path": format!("f{at}.txt"), "content": text})).collect();
            let got = files(&json!({"summary": "s", "files": asked}).to_string()).unwrap();
            prop_assert_eq!(got.into_iter().map(|(_, text)| text).collect::<Vec<_>>(), contents);
        }
    }
}
