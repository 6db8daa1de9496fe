//! The programming language of a file, told by its name.
//!
//! Names are those of plugins and editors: lower case, as Monaco and Pygments have them. The content is never looked at.

/// The language of a path, or none when its name says nothing.
pub fn of(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    by_name(&name).or_else(|| {
        name.rsplit_once('.').and_then(|(stem, extension)| if stem.is_empty() { None } else { by_extension(extension) })
    })
}

fn by_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "dockerfile" | "containerfile" => "dockerfile",
        "makefile" | "gnumakefile" => "makefile",
        "cmakelists.txt" => "cmake",
        "gemfile" | "rakefile" => "ruby",
        ".bashrc" | ".profile" => "shell",
        _ => return None,
    })
}

fn by_extension(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "py" | "pyi" | "pyw" => "python",
        "js" | "mjs" | "cjs" | "jsx" => "javascript",
        "ts" | "mts" | "cts" | "tsx" => "typescript",
        "java" => "java",
        "kt" | "kts" => "kotlin",
        "scala" => "scala",
        "go" => "go",
        "rs" => "rust",
        "c" | "h" => "c",
        "cc" | "cpp" | "cxx" | "hh" | "hpp" | "hxx" => "cpp",
        "cs" => "csharp",
        "fs" => "fsharp",
        "swift" => "swift",
        "m" | "mm" => "objective-c",
        "rb" => "ruby",
        "php" => "php",
        "pl" | "pm" => "perl",
        "lua" => "lua",
        "r" => "r",
        "jl" => "julia",
        "dart" => "dart",
        "ex" | "exs" => "elixir",
        "erl" => "erlang",
        "hs" => "haskell",
        "sh" | "bash" | "zsh" => "shell",
        "ps1" | "psm1" => "powershell",
        "bat" | "cmd" => "bat",
        "sql" => "sql",
        "html" | "htm" => "html",
        "vue" => "vue",
        "svelte" => "svelte",
        "css" => "css",
        "scss" => "scss",
        "less" => "less",
        "json" => "json",
        "yaml" | "yml" => "yaml",
        "toml" => "toml",
        "ini" | "cfg" => "ini",
        "xml" | "svg" => "xml",
        "md" | "markdown" => "markdown",
        "rst" => "restructuredtext",
        "tex" => "latex",
        "proto" => "protobuf",
        "graphql" | "gql" => "graphql",
        "tf" => "hcl",
        "cmake" => "cmake",
        "txt" => "plaintext",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn names_and_extensions_tell() {
        for (path, language) in [
            ("src/Main.PY", Some("python")),
            ("a.b/Dockerfile", Some("dockerfile")),
            ("x.tar.ts", Some("typescript")),
            (".py", None),
            ("LICENSE", None),
            ("a.unknown", None),
        ] {
            assert_eq!(of(path), language, "{path}");
        }
    }
}
