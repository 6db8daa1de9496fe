//! Files out of Markdown: fenced blocks with a path beside them, as models write them when nobody holds them to JSON.
//!
//! A path stands in the fence's info string (` ```python src/app.py `, ` ```src/app.py `), on the last line of text before
//! the fence (`**src/app.py**`, `### File: src/app.py`, `` `src/app.py`: ``), or in a comment on the block's first line.
//! Fences follow CommonMark 0.31, section 4.5. Whether a path is a good one is the caller's business.

/// The longest line that is looked at for a path.
const MAX_LINE: usize = 300;

struct Fence<'a> {
    mark: char,
    length: usize,
    info: &'a str,
}

/// The files in `text`, in order.
///
/// # Errors
/// A sentence for the model: there is no block with a path, or the last one was not closed.
pub fn read(text: &str) -> Result<Vec<(String, String)>, String> {
    let (mut files, mut nameless) = (Vec::new(), 0);
    let mut lines = text.lines();
    let mut before = "";
    while let Some(line) = lines.next() {
        let Some(fence) = opening(line) else {
            if !line.trim().is_empty() {
                before = line;
            }
            continue;
        };
        let name = in_info(fence.info).or_else(|| in_line(before));
        before = "";
        let mut content = String::new();
        let closed = lines.by_ref().any(|line| {
            let end = closes(line, &fence);
            if !end {
                content.push_str(line);
                content.push('\n');
            }
            end
        });
        match name.or_else(|| in_comment(&content)) {
            Some(name) if !closed => {
                return Err(format!(
                    "The answer ended in the middle of {name}. Write shorter files, and close every block."
                ));
            }
            Some(name) => files.push((name, content)),
            None => nameless += 1,
        }
    }
    if files.is_empty() {
        let seen = if nameless == 0 { "no fenced block" } else { "no fenced block with a path" };
        return Err(format!("The answer has {seen}. Write each file as a block, with its path on the line before."));
    }
    Ok(files)
}

fn opening(line: &str) -> Option<Fence<'_>> {
    let line = line.trim_start();
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = line.chars().take_while(|c| *c == mark).count();
    let info = line[length..].trim();
    (length >= 3 && !(mark == '`' && info.contains('`'))).then_some(Fence { mark, length, info })
}

fn closes(line: &str, fence: &Fence<'_>) -> bool {
    let line = line.trim();
    line.len() >= fence.length && line.chars().all(|c| c == fence.mark)
}

/// ` ```python title="src/app.py" `, ` ```python:src/app.py `, ` ```src/app.py `.
fn in_info(info: &str) -> Option<String> {
    let mut words = info.split([' ', ':', '=', '{', '}', ',']).map(strip);
    words.find(|word| is_path(word)).map(str::to_owned)
}

/// A line that is about one path: at most a few words around it.
fn in_line(line: &str) -> Option<String> {
    if line.len() > MAX_LINE || line.split_whitespace().count() > 8 {
        return None;
    }
    let mut words = line.split_whitespace().map(strip);
    words.find(|word| is_path(word)).map(str::to_owned)
}

fn in_comment(content: &str) -> Option<String> {
    let line = content.lines().next()?.trim();
    let comment = ["//", "#", "--", "<!--", "/*", ";"].into_iter().find_map(|mark| line.strip_prefix(mark))?;
    let comment = comment.trim_end_matches("-->").trim_end_matches("*/").trim();
    let comment = ["File:", "file:", "filename:", "path:"]
        .into_iter()
        .find_map(|word| comment.strip_prefix(word))
        .unwrap_or(comment);
    let name = strip(comment.trim());
    (is_path(name) && !name.contains(' ')).then(|| name.to_owned())
}

fn strip(word: &str) -> &str {
    word.trim_matches(|c: char| {
        matches!(c, '*' | '`' | '"' | '\'' | ':' | '(' | ')' | '[' | ']' | ',' | '<' | '>' | '#')
    })
}

/// Has an ending or a folder, and is not a sentence's end, a number or an address.
fn is_path(word: &str) -> bool {
    let Some(name) = word.rsplit('/').next() else { return false };
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    let has_ending = ending.is_some_and(|ending| {
        (1..=10).contains(&ending.len())
            && ending.chars().all(|c| c.is_ascii_alphanumeric())
            && ending.chars().any(|c| c.is_ascii_alphabetic())
    });
    let known = matches!(name, "Makefile" | "Dockerfile" | "LICENSE" | "Procfile" | ".gitignore" | ".env.example");
    (has_ending || known) && !word.contains("://") && word.len() <= MAX_LINE
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        read(text).unwrap().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn paths_are_found_wherever_models_put_them() {
        for head in [
            "```python src/app.py",
            "```src/app.py",
            "```python:src/app.py",
            "```python title=\"src/app.py\"",
            "**src/app.py**\n```python",
            "### File: src/app.py\n\n```",
            "2. `src/app.py`:\n~~~python",
            "Here is src/app.py:\n````",
            "```python\n# src/app.py",
            "```python\n# File: src/app.py",
        ] {
            let fence: String = head
                .lines()
                .find(|line| opening(line).is_some())
                .unwrap()
                .chars()
                .take_while(|c| matches!(c, '`' | '~'))
                .collect();
            assert_eq!(names(&format!("Hello.\n{head}\nprint(1)\n{fence}\nBye.")), ["src/app.py"], "{head}");
        }
    }

    #[test]
    fn a_longer_fence_holds_a_shorter_one() {
        let text = "README.md\n````markdown\n```sh\nmake\n```\n````\n\nMakefile\n```make\nall:\n```\n";
        let files = read(text).unwrap();
        assert_eq!(files[0], ("README.md".to_owned(), "```sh\nmake\n```\n".to_owned()));
        assert_eq!(files[1].0, "Makefile");
    }

    #[test]
    fn examples_without_a_path_are_no_files() {
        assert_eq!(names("Run:\n```sh\npython app.py\n```\n`app.py`\n```python\nprint(1)\n```"), ["app.py"]);
        assert!(read("Run it:\n```sh\nmake\n```").unwrap_err().contains("with a path"));
        assert!(read("Nothing.").unwrap_err().contains("no fenced block"));
        assert!(read("app.py\n```python\nprint(").unwrap_err().contains("in the middle of app.py"));
    }
}
