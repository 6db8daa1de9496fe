//! `resoftai plugin new`: a folder to start from, whose own tests pass as it stands.
//!
//! Invariant: nothing that is there is overwritten. The templates lie in `plugin-sdk/templates`; `{{name}}` and the like in
//! them are replaced and nothing else happens to them.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::Output;
use crate::plugins::is_slug;

#[derive(Debug, Args)]
pub struct NewArgs {
    /// What kind of plugin.
    #[arg(value_name = "TYPE")]
    kind: Kind,
    /// Its name for people, such as "Slack notifier"; the name in commands is made of it.
    name: String,
    /// Where to put it [default: a folder of that name, here].
    #[arg(long, short, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Who writes it.
    #[arg(long, value_name = "NAME", default_value = "")]
    author: String,
}

/// The six kinds of the contract, and one that is none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A new member of the team.
    Agent,
    /// A source of language models.
    LlmProvider,
    /// Tells another system what happens.
    Integration,
    /// An order of stages.
    Workflow,
    /// Looks at code.
    CodeQuality,
    /// A project to start from.
    Template,
    /// Hangs on hooks, and nothing else.
    Plain,
}

/// What a kind's folder is made of.
struct Template {
    summary: &'static str,
    main: &'static str,
    test: &'static str,
    fields: &'static str,
    /// Beside those, by path.
    more: &'static [(&'static str, &'static str)],
}

macro_rules! template {
    ($folder:literal, $summary:literal, $more:expr) => {
        Template {
            summary: $summary,
            main: include_str!(concat!("../../plugin-sdk/templates/", $folder, "/main.py")),
            test: include_str!(concat!("../../plugin-sdk/templates/", $folder, "/test_plugin.py")),
            fields: include_str!(concat!("../../plugin-sdk/templates/", $folder, "/fields.json")),
            more: $more,
        }
    };
}

const README: &str = include_str!("../../plugin-sdk/templates/README.md");
const STARTED: &[(&str, &str)] = &[
    ("files/app/main.py", include_str!("../../plugin-sdk/templates/template/app_main.py")),
    ("files/README.md", include_str!("../../plugin-sdk/templates/template/app_readme.md")),
];

impl Kind {
    fn template(self) -> Template {
        match self {
            Self::Agent => template!("agent", "Adds an agent that reviews documentation.", &[]),
            Self::LlmProvider => template!("llm-provider", "Answers with the models of another server.", &[]),
            Self::Integration => template!("integration", "Sends events to a webhook.", &[]),
            Self::Workflow => template!("workflow", "Adds a short workflow: requirements, design, code, tests.", &[]),
            Self::CodeQuality => template!("code-quality", "Finds long lines and spaces at the end of lines.", &[]),
            Self::Template => template!("template", "Starts a project with a small program.", STARTED),
            Self::Plain => template!("plain", "Counts the files that are made.", &[]),
        }
    }
}

/// `plugin.json`, in the order people read it.
#[derive(Serialize)]
struct Manifest<'a> {
    name: &'a str,
    slug: &'a str,
    version: &'a str,
    description: &'a str,
    author: &'a str,
    category: Value,
    tags: [&'a str; 0],
    min_platform_version: &'a str,
    dependencies: [&'a str; 0],
    entry_point: String,
    license: &'a str,
    #[serde(skip_serializing_if = "Value::is_null")]
    capabilities: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    config_schema: Value,
}

/// Names made of the one that was given.
struct Names {
    name: String,
    slug: String,
    /// Without `Plugin` at its end.
    class: String,
}

impl Names {
    fn of(name: &str) -> Result<Self> {
        let words: Vec<&str> =
            name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let slug = words.join("-").to_lowercase();
        let capital = |word: &&str| word[..1].to_uppercase() + &word[1..];
        let class: String = words.iter().map(capital).collect();
        let plain = !name.chars().any(|c| c.is_control() || matches!(c, '"' | '\\' | '{' | '}'));
        if is_slug(&slug) && plain && class.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let class = class.strip_suffix("Plugin").filter(|rest| !rest.is_empty()).unwrap_or(&class).to_owned();
            return Ok(Self { name: name.trim().to_owned(), slug, class });
        }
        Err(Failure::usage(format!(
            "No name for commands can be made of {name:?}. Use letters, digits, spaces and -, beginning with a letter, as in \
             \"Slack notifier\"."
        )))
    }

    fn fill(&self, text: &str, summary: &str) -> String {
        let role = self.slug.replace('-', "_");
        [
            ("name", &self.name),
            ("slug", &self.slug),
            ("class", &self.class),
            ("role", &role),
            ("summary", &summary.to_owned()),
        ]
        .iter()
        .fold(text.to_owned(), |text, (key, value)| text.replace(&format!("{{{{{key}}}}}"), value))
    }
}

pub fn run(args: &NewArgs, out: Output) -> Result<()> {
    let names = Names::of(&args.name)?;
    let folder = args.output.clone().unwrap_or_else(|| PathBuf::from(&names.slug));
    let files = files(args.kind, &names, &args.author)?;
    if fs::symlink_metadata(&folder).is_ok() && fs::read_dir(&folder).map_or(true, |mut all| all.next().is_some()) {
        let detail = format!("{} is there already. Give another place with --output.", folder.display());
        return Err(Failure::new(Exit::Conflict, "folder_exists", detail));
    }
    for (path, text) in &files {
        write(&folder.join(path), text)?;
    }
    let paths: Vec<&String> = files.iter().map(|(path, _)| path).collect();
    let shown = json!({"folder": folder, "slug": names.slug, "files": paths});
    let place = folder.display();
    out.done(&shown, &format!("Made {place}. Run its tests: resoftai plugin test {place}"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text).map_err(|cause| Failure::usage(format!("Cannot write {}: {cause}.", path.display())))
}

fn files(kind: Kind, names: &Names, author: &str) -> Result<Vec<(String, String)>> {
    let template = kind.template();
    let fields: Value = serde_json::from_str(template.fields).map_err(crate::base::error::Error::internal)?;
    let manifest = Manifest {
        name: &names.name,
        slug: &names.slug,
        version: "0.1.0",
        description: template.summary,
        author,
        category: fields["category"].clone(),
        tags: [],
        min_platform_version: env!("CARGO_PKG_VERSION"),
        dependencies: [],
        entry_point: format!("main.py:{}Plugin", names.class),
        license: "Apache-2.0",
        capabilities: fields["capabilities"].clone(),
        config_schema: fields["config_schema"].clone(),
    };
    let manifest = serde_json::to_string_pretty(&manifest).map_err(crate::base::error::Error::internal)? + "\n";
    let filled = [("README.md", README), ("main.py", template.main), ("tests/test_plugin.py", template.test)];
    let mut files = vec![("plugin.json".to_owned(), manifest)];
    for (path, text) in filled.iter().chain(template.more) {
        files.push(((*path).to_owned(), names.fill(text, template.summary)));
    }
    Ok(files)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::plugins::pack::pack;
    use crate::plugins::package::Files;

    #[test]
    fn every_kind_makes_a_plugin_that_packs() {
        let names = Names::of("Nice  slack-notifier 2").unwrap();
        assert_eq!((names.slug.as_str(), names.class.as_str()), ("nice-slack-notifier-2", "NiceSlackNotifier2"));
        for kind in Kind::value_variants() {
            let mut files = Files::default();
            for (path, text) in super::files(*kind, &names, "Ada").unwrap() {
                assert!(!text.contains("{{"), "{kind:?} {path}: {text}");
                files.add(&path, text.into_bytes()).unwrap();
            }
            assert_eq!(pack(files, vec![]).unwrap().manifest.slug, names.slug, "{kind:?}");
        }
    }

    #[test]
    fn names_that_make_no_slug_are_refused() {
        for name in ["", "!!!", "2 fast", "install", "a\"b", "日本"] {
            assert_eq!(Names::of(name).err().map(|failure| failure.exit()), Some(Exit::Usage), "{name}");
        }
        assert_eq!(Names::of("Jira Plugin").unwrap().class, "Jira");
    }
}
