//! What `resoftai plugin new` starts a folder from: `plugin-sdk/templates`, and what a plugin in JavaScript is built with.

use clap::ValueEnum;

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

/// What a plugin can be begun in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Language {
    #[default]
    Python,
    /// Needs node and npm to be built.
    Javascript,
}

/// What a kind's folder is made of, each file by its path.
pub struct Template {
    pub summary: &'static str,
    /// Fields of plugin.json, as JSON.
    pub fields: &'static str,
    /// Files in which names are filled in.
    pub filled: [(&'static str, &'static str); 3],
    more: &'static [(&'static str, &'static str)],
    sdk: &'static [(&'static str, &'static str)],
}

impl Template {
    /// Files that are the same in every plugin of the kind.
    pub fn as_it_is(&self) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
        self.more.iter().chain(self.sdk)
    }
}

macro_rules! template {
    ($language:expr, $folder:literal, $summary:literal, $more:expr) => {
        Template {
            summary: $summary,
            fields: include_str!(concat!("../../plugin-sdk/templates/", $folder, "/fields.json")),
            filled: match $language {
                Language::Python => [
                    ("README.md", include_str!("../../plugin-sdk/templates/README.md")),
                    ("main.py", include_str!(concat!("../../plugin-sdk/templates/", $folder, "/main.py"))),
                    (
                        "tests/test_plugin.py",
                        include_str!(concat!("../../plugin-sdk/templates/", $folder, "/test_plugin.py")),
                    ),
                ],
                Language::Javascript => [
                    ("README.md", include_str!("../../plugin-sdk/templates/README.javascript.md")),
                    ("main.js", include_str!(concat!("../../plugin-sdk/templates/", $folder, "/main.js"))),
                    (
                        "tests/plugin.test.js",
                        include_str!(concat!("../../plugin-sdk/templates/", $folder, "/plugin.test.js")),
                    ),
                ],
            },
            more: $more,
            sdk: match $language {
                Language::Python => &[],
                Language::Javascript => JAVASCRIPT,
            },
        }
    };
}

macro_rules! javascript {
    ($($name:literal),*) => {
        &[
            (".sdk/plugin.wit", include_str!("../../plugin-sdk/wit/plugin.wit")),
            $((concat!(".sdk/", $name), include_str!(concat!("../../plugin-sdk/javascript/", $name)))),*
        ]
    };
}

/// What is hidden stays out of the package.
const JAVASCRIPT: &[(&str, &str)] = javascript!(
    "build.mjs",
    "build.sh",
    "guest.js",
    "package-lock.json",
    "package.json",
    "resoftai.d.ts",
    "resoftai.js",
    "stand-in.js",
    "testing.js"
);
const STARTED: &[(&str, &str)] = &[
    ("files/app/main.py", include_str!("../../plugin-sdk/templates/template/app_main.py")),
    ("files/README.md", include_str!("../../plugin-sdk/templates/template/app_readme.md")),
];

impl Language {
    /// The field `entry_point` of a plugin whose class begins so.
    pub fn entry_point(self, class: &str) -> String {
        match self {
            Self::Python => format!("main.py:{class}Plugin"),
            Self::Javascript => "plugin.wasm".to_owned(),
        }
    }
}

impl Kind {
    pub fn template(self, language: Language) -> Template {
        match self {
            Self::Agent => template!(language, "agent", "Adds an agent that reviews documentation.", &[]),
            Self::LlmProvider => template!(language, "llm-provider", "Answers with the models of another server.", &[]),
            Self::Integration => template!(language, "integration", "Sends events to a webhook.", &[]),
            Self::Workflow => {
                template!(language, "workflow", "Adds a short workflow: requirements, design, code, tests.", &[])
            }
            Self::CodeQuality => {
                template!(language, "code-quality", "Finds long lines and spaces at the end of lines.", &[])
            }
            Self::Template => template!(language, "template", "Starts a project with a small program.", STARTED),
            Self::Plain => template!(language, "plain", "Counts the files that are made.", &[]),
        }
    }
}
