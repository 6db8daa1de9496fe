//! Filling a template's variables into its paths and texts, in the notation of Jinja.
//!
//! Invariant: what a plugin wrote can neither take time nor memory here beyond its own length and [`MAX_TOTAL`]: a text
//! may name variables, pass them through the filters of [`FILTERS`] and choose by conditions; what could repeat or grow,
//! such as loops, assignments and arithmetic, is refused before anything is filled in.

use std::collections::BTreeMap;
use std::io;

use minijinja::machinery::ast::{BinOpKind, Expr, Stmt, UnaryOpKind};
use minijinja::machinery::{WhitespaceConfig, parse};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};

use super::variables::Values;
use crate::base::error::{Error, Kind, Result};
use crate::projects::files::MAX_SIZE;
use crate::projects::path::ProjectPath;

/// All files of a project that a template makes, in bytes.
pub const MAX_TOTAL: usize = 32 << 20;
/// Conditions in conditions, operators in operators.
const MAX_DEPTH: usize = 50;

type Filter = (&'static str, fn(&str) -> String);

/// By the names that texts use: `{{ name|snake_case }}`.
const FILTERS: [Filter; 9] = [
    ("lower", str::to_lowercase),
    ("upper", str::to_uppercase),
    ("title", |text| joined(text, " ", capitalized)),
    ("capitalize", |text| capitalized(&text.to_lowercase())),
    ("trim", |text| text.trim().to_owned()),
    ("snake_case", |text| joined(text, "_", str::to_lowercase)),
    ("kebab_case", |text| joined(text, "-", str::to_lowercase)),
    ("pascal_case", |text| joined(text, "", |word| capitalized(&word.to_lowercase()))),
    ("camel_case", |text| {
        let pascal = joined(text, "", |word| capitalized(&word.to_lowercase()));
        let mut letters = pascal.chars();
        letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
    }),
];

/// A file as a template makes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Filled {
    pub path: ProjectPath,
    pub content: String,
}

/// A template's files with `values` in them, by path; a file whose path comes to nothing is left out. Blocks for as long as their length takes.
///
/// # Errors
/// `invalid_template`, naming the file and the line; `invalid_path`; `template_too_large`.
pub fn fill(plugin: &str, files: &BTreeMap<String, String>, values: &Values) -> Result<Vec<Filled>> {
    let environment = environment();
    let values = Value::from_serialize(values);
    let mut filled: Vec<Filled> = Vec::with_capacity(files.len());
    let mut left = MAX_TOTAL;
    for (path, text) in files {
        let wrong = |why: String| {
            let sentence = format!("The template {plugin} cannot be filled in at {path:.200}: {why}");
            Error::upstream("invalid_template", sentence)
        };
        let name = render(&environment, path, &values, 4 * crate::projects::path::MAX_BYTES).map_err(&wrong)?;
        if name.is_empty() {
            continue;
        }
        let name = ProjectPath::parse(&name)?;
        let most = left.min(MAX_SIZE);
        let content = match render(&environment, text, &values, most) {
            Err(why) if why == TOO_LONG => return Err(too_large(plugin, name.as_str())),
            other => other.map_err(&wrong)?,
        };
        if content.contains('\0') {
            return Err(wrong("it holds a NUL, which no text has.".to_owned()));
        }
        left -= content.len();
        if let Some(other) = filled.iter().find(|other| other.path.key() == name.key()) {
            return Err(wrong(format!("{} would be there twice.", other.path.as_str())));
        }
        filled.push(Filled { path: name, content });
    }
    filled.sort_by(|a, b| a.path.as_str().cmp(b.path.as_str()));
    Ok(filled)
}

const TOO_LONG: &str = "it is too long.";

fn too_large(plugin: &str, path: &str) -> Error {
    let sentence = format!(
        "{path} of the template {plugin} is too large: a file has at most {} MiB, all together {} MiB.",
        MAX_SIZE >> 20,
        MAX_TOTAL >> 20
    );
    Error::new(Kind::TooLarge, "template_too_large", sentence)
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_keep_trailing_newline(true);
    for (name, filter) in FILTERS {
        environment.add_filter(name, move |value: Value| filter(&value.to_string()));
    }
    environment
}

/// # Errors
/// A sentence that says what is wrong, [`TOO_LONG`] when it has more than `most` bytes.
fn render(environment: &Environment<'_>, text: &str, values: &Value, most: usize) -> Result<String, String> {
    let whitespace = WhitespaceConfig { keep_trailing_newline: true, ..WhitespaceConfig::default() };
    let told = |error: &minijinja::Error| {
        let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
        let detail = error.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        format!("{line}{}{detail}.", error.kind())
    };
    let tree = parse(text, "template", Default::default(), whitespace).map_err(|error| told(&error))?;
    statement(&tree, values, 0)?;
    let template = environment.template_from_str(text).map_err(|error| told(&error))?;
    let mut output = Bounded { bytes: Vec::with_capacity(text.len().min(most)), most, full: false };
    let outcome = template.render_captured_to(values, &mut output).map(drop);
    if output.full {
        return Err(TOO_LONG.to_owned());
    }
    outcome.map_err(|error| told(&error))?;
    String::from_utf8(output.bytes).map_err(|error| error.to_string())
}

struct Bounded {
    bytes: Vec<u8>,
    most: usize,
    full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if more.len() > self.most - self.bytes.len() {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn refused(line: u16, what: &str) -> String {
    format!("line {line}: {what} is not filled in here; write it as {{% raw %}}..{{% endraw %}} if the file needs it.")
}

/// Whether a statement holds nothing but what is allowed.
fn statement(statement: &Stmt<'_>, values: &Value, depth: usize) -> Result<(), String> {
    let all = |body: &[Stmt<'_>]| body.iter().try_for_each(|inner| self::statement(inner, values, depth + 1));
    match statement {
        _ if depth > MAX_DEPTH => Err(format!("conditions are in one another more than {MAX_DEPTH} deep.")),
        Stmt::Template(template) => all(&template.children),
        Stmt::EmitRaw(_) => Ok(()),
        Stmt::EmitExpr(emit) => expression(&emit.expr, emit.span().start_line, values, depth),
        Stmt::IfCond(cond) => {
            expression(&cond.expr, cond.span().start_line, values, depth)?;
            all(&cond.true_body)?;
            all(&cond.false_body)
        }
        Stmt::ForLoop(other) => Err(refused(other.span().start_line, "a loop")),
        Stmt::Set(other) => Err(refused(other.span().start_line, "an assignment")),
        _ => Err("a block other than `if` and `raw` is not filled in here.".to_owned()),
    }
}

fn expression(expr: &Expr<'_>, line: u16, values: &Value, depth: usize) -> Result<(), String> {
    let inner = |expr: &Expr<'_>| expression(expr, line, values, depth + 1);
    match expr {
        _ if depth > MAX_DEPTH => Err(format!("line {line}: an expression is more than {MAX_DEPTH} deep.")),
        Expr::Const(_) => Ok(()),
        // Here, where the name is known; what comes of it later is the same.
        Expr::Var(var) if values.get_attr(var.id).is_ok_and(|value| !value.is_undefined()) => Ok(()),
        Expr::Var(var) => Err(refused(line, &format!("`{:.80}`, which is no variable of the template,", var.id))),
        Expr::UnaryOp(unary) if matches!(unary.op, UnaryOpKind::Not) => inner(&unary.expr),
        Expr::BinOp(binary) => {
            use BinOpKind::{Eq, Gt, Gte, Lt, Lte, Ne, ScAnd, ScOr};
            if !matches!(binary.op, Eq | Ne | Lt | Lte | Gt | Gte | ScAnd | ScOr) {
                return Err(refused(line, "arithmetic"));
            }
            inner(&binary.left)?;
            inner(&binary.right)
        }
        Expr::IfExpr(choice) => {
            inner(&choice.test_expr)?;
            inner(&choice.true_expr)?;
            choice.false_expr.as_ref().map_or(Ok(()), inner)
        }
        Expr::Filter(filter) => {
            if !filter.args.is_empty() || FILTERS.iter().all(|(name, _)| *name != filter.name) {
                let names: Vec<&str> = FILTERS.iter().map(|(name, _)| *name).collect();
                return Err(format!(
                    "line {line}: there is no filter `{:.80}`, or not with arguments. There are: {}.",
                    filter.name,
                    names.join(", ")
                ));
            }
            filter.expr.as_ref().map_or(Ok(()), inner)
        }
        _ => Err(refused(line, "an expression of this kind")),
    }
}

/// The words of a text: what is no letter or digit parts them, and so does a capital after a small letter.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for letter in text.chars() {
        let parts = !letter.is_alphanumeric() || (letter.is_uppercase() && before.is_lowercase());
        if parts {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.push(letter);
        }
        before = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}

fn joined(text: &str, between: &str, each: impl Fn(&str) -> String) -> String {
    words(text).iter().map(|word| each(word)).collect::<Vec<_>>().join(between)
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn values() -> Values {
        serde_json::from_value(json!({"name": "My web-Shop", "port": 80, "docs": true, "empty": ""})).unwrap()
    }

    fn one(text: &str) -> Result<String> {
        let files = BTreeMap::from([("a.txt".to_owned(), text.to_owned())]);
        fill("t", &files, &values()).map(|mut filled| filled.remove(0).content)
    }

    #[test]
    fn variables_filters_and_conditions_are_filled_in() {
        for (text, wanted) in [
            ("{{ name }}:{{port}}\n", "My web-Shop:80\n"),
            ("{{name|lower}} {{ name | upper }}", "my web-shop MY WEB-SHOP"),
            ("{{ name|snake_case }} {{ name|kebab_case }}", "my_web_shop my-web-shop"),
            ("{{ name|pascal_case }} {{ name|camel_case }} {{ name|title }}", "MyWebShop myWebShop My Web Shop"),
            ("{{ name|snake_case|upper }}", "MY_WEB_SHOP"),
            ("{% if docs and port == 80 %}yes{% else %}no{% endif %}", "yes"),
            ("{{ 'a' if empty else 'b' }}", "b"),
            ("{% raw %}${{ secrets.TOKEN }}{% endraw %}", "${{ secrets.TOKEN }}"),
            ("<a href=\"{{ name }}\">", "<a href=\"My web-Shop\">"),
        ] {
            assert_eq!(one(text).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn what_could_grow_or_reach_further_is_refused() {
        for text in [
            "{{ nmae }}",
            "{{ name ~ name }}",
            "{{ name * 1000000000 }}",
            "{{ 'x' * 1000000000 }}",
            "{{ 9 ** 9 }}",
            "{% for i in name %}x{% endfor %}",
            "{% set x = name %}{{ x }}",
            "{{ name|indent(1000000000) }}",
            "{{ name.upper() }}",
            "{{ name[0] }}",
            "{{ name|reverse }}",
            "{{ name",
            "{% if docs %}",
            "{% filter upper %}a{% endfilter %}",
            "a\u{0}b",
        ] {
            let error = one(text).unwrap_err();
            assert_eq!(error.code(), "invalid_template", "{text}");
            assert!(error.message().contains("a.txt"), "{error}");
        }
        let deep = format!("{}{}", "{% if docs %}".repeat(60), "{% endif %}".repeat(60));
        assert_eq!(one(&deep).unwrap_err().code(), "invalid_template");
    }

    #[test]
    fn a_file_and_all_of_them_are_bounded() {
        let long = Values::from([("name".to_owned(), json!("x".repeat(4_000)))]);
        let files = BTreeMap::from([("a".to_owned(), "{{name}}".repeat(3_000))]);
        assert_eq!(fill("t", &files, &long).unwrap_err().code(), "template_too_large");
        let files = (0..5).map(|n| (n.to_string(), "{{name}}".repeat(2_000))).collect();
        assert_eq!(fill("t", &files, &long).unwrap_err().code(), "template_too_large");
    }

    #[test]
    fn paths_are_filled_in_and_checked() {
        let fill = |path: &str| fill("t", &BTreeMap::from([(path.to_owned(), String::new())]), &values());
        assert_eq!(fill("src/{{name|snake_case}}/main.py").unwrap()[0].path.as_str(), "src/my_web_shop/main.py");
        assert!(fill("{% if not docs %}docs/a.md{% endif %}").unwrap().is_empty());
        assert_eq!(fill("../{{name}}").unwrap_err().code(), "invalid_path");
        let twice = BTreeMap::from([("{{port}}".to_owned(), String::new()), ("80".to_owned(), String::new())]);
        assert_eq!(super::fill("t", &twice, &values()).unwrap_err().code(), "invalid_template");
    }

    proptest! {
        #[test]
        fn any_text_is_filled_in_or_refused(text in "[{}%|a-z \\n'\\-#]{0,60}") {
            drop(one(&text));
        }
    }
}
