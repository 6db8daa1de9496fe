//! `resoftai plugin new`: a folder to start from, whose own tests pass as it stands.
//!
//! Invariant: nothing that is there is overwritten. In templates `{{name}}` and the like are replaced, and nothing else
//! happens to them.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use crate::base::error::Error;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::Output;
use crate::cli::plugin_templates::{Kind, Language};
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
    /// What it is written in.
    #[arg(long, short, value_enum, default_value_t)]
    language: Language,
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
    let files = files(args, &names)?;
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
    let next = match args.language {
        Language::Python => format!("Run its tests: resoftai plugin test {place}"),
        Language::Javascript => {
            format!("Build it and run its tests: sh {place}/.sdk/build.sh && resoftai plugin test {place}")
        }
    };
    out.done(&shown, &format!("Made {place}. {next}"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text).map_err(|cause| Failure::usage(format!("Cannot write {}: {cause}.", path.display())))
}

fn files(args: &NewArgs, names: &Names) -> Result<Vec<(String, String)>> {
    let template = args.kind.template(args.language);
    let fields: Value = serde_json::from_str(template.fields).map_err(Error::internal)?;
    let manifest = Manifest {
        name: &names.name,
        slug: &names.slug,
        version: "0.1.0",
        description: template.summary,
        author: &args.author,
        category: fields["category"].clone(),
        tags: [],
        min_platform_version: env!("CARGO_PKG_VERSION"),
        dependencies: [],
        entry_point: args.language.entry_point(&names.class),
        license: "Apache-2.0",
        capabilities: fields["capabilities"].clone(),
        config_schema: fields["config_schema"].clone(),
    };
    let manifest = serde_json::to_string_pretty(&manifest).map_err(Error::internal)? + "\n";
    let mut files = vec![("plugin.json".to_owned(), manifest)];
    files.extend(template.filled.map(|(path, text)| (path.to_owned(), names.fill(text, template.summary))));
    files.extend(template.as_it_is().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
    Ok(files)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::plugins::pack::pack;
    use crate::plugins::package::Files;

    #[test]
    fn every_kind_makes_a_plugin_that_packs() {
        let names = Names::of("Nice  slack-notifier 2").unwrap();
        assert_eq!((names.slug.as_str(), names.class.as_str()), ("nice-slack-notifier-2", "NiceSlackNotifier2"));
        for (kind, language) in Kind::value_variants()
            .iter()
            .flat_map(|kind| Language::value_variants().iter().map(move |each| (*kind, *each)))
        {
            let args = NewArgs { kind, name: String::new(), output: None, author: "Ada".to_owned(), language };
            let mut files = Files::default();
            for (path, text) in super::files(&args, &names).unwrap() {
                assert!(path.starts_with(".sdk/") || !text.contains("{{"), "{kind:?} {path}: {text}");
                if !path.starts_with('.') {
                    files.add(&path, text.into_bytes()).unwrap();
                }
            }
            if language == Language::Javascript {
                // What building it would make.
                files.add("plugin.wasm", b"\0asm\x0d\0\x01\0".to_vec()).unwrap();
            }
            assert_eq!(pack(files, vec![]).unwrap().manifest.slug, names.slug, "{kind:?} {language:?}");
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
