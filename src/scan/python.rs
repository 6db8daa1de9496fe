//! Python source, by its syntax tree (in the spirit of bandit).
//!
//! Invariant: nothing is run; a file is bounded in size and, by its tokens, in how deep its tree can be before the tree is
//! made, so the stack suffices. A file that is not read to its end is named as not looked at.

use ruff_python_ast::token::TokenKind;
use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ExprCall, Stmt};
use ruff_python_parser::lexer::lex;
use ruff_python_parser::{Mode, ParseOptions, parse_unchecked};
use ruff_text_size::Ranged;

use super::python_names::{Names, text_of};
use super::rules::{Look, Pattern, PythonCall, Rule};
use super::{Findings, Lines};

/// The most bytes of a file that is looked at.
pub const MAX_BYTES: usize = 1 << 20;
/// The deepest tree. CPython itself gives up earlier.
const MAX_DEPTH: usize = 2_000;
/// Suffices for a tree of that depth, also without optimisation.
const STACK: usize = 64 << 20;

pub fn look(path: &str, content: &[u8], rules: &[Rule], found: &mut Findings) {
    if content.len() > MAX_BYTES {
        return found.gap(path, format!("it has {} bytes; {MAX_BYTES} are looked at", content.len()));
    }
    encoding(path, content, rules, found);
    let Ok(source) = std::str::from_utf8(content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content)) else {
        return found.gap(path, "it is not UTF-8");
    };
    if depth(source) > MAX_DEPTH {
        return found.gap(path, "something in it is nested too deeply");
    }
    stacker::grow(STACK, || walk(path, source, rules, found));
}

fn walk(path: &str, source: &str, rules: &[Rule], found: &mut Findings) {
    let parsed = parse_unchecked(source, ParseOptions::from(Mode::Module));
    let lines = Lines::new(source.as_bytes());
    if let Some(error) = parsed.errors().first() {
        let line = lines.at(error.location.start().to_usize());
        found.gap(path, format!("line {line} is no Python that can be read: {}", error.error));
    }
    let Some(module) = parsed.syntax().as_module() else { return };
    let names = Names::of(&module.body);
    for (import, at) in &names.imports {
        imported(path, (import, lines.at(*at)), rules, found);
    }
    let mut walker = Walker { path, rules, names: &names, lines: &lines, found };
    module.body.iter().for_each(|stmt| walker.visit_stmt(stmt));
    if !names.is_whole() {
        found.gap(path, "calls in it are nested too much to follow them all");
    }
}

/// How deep the tree can be at most: the tokens that each open bracket and block has had since the last comma or line.
fn depth(source: &str) -> usize {
    let mut lexer = lex(source, Mode::Module);
    let (mut levels, mut blocks, mut most) = (vec![0_usize], 0_usize, 0_usize);
    let (mut sum, mut last) = (0_usize, TokenKind::Newline);
    loop {
        let token = lexer.next_token();
        let top = levels.len() - 1;
        match token {
            TokenKind::EndOfFile => return most,
            TokenKind::Comment | TokenKind::NonLogicalNewline => continue,
            TokenKind::Newline | TokenKind::Semi if top == 0 => {
                sum = sum.saturating_sub(std::mem::take(&mut levels[0]));
            }
            TokenKind::Comma => sum = sum.saturating_sub(std::mem::take(&mut levels[top])),
            TokenKind::Indent => blocks += 1,
            TokenKind::Dedent => blocks = blocks.saturating_sub(1),
            // Pieces of one text lie side by side.
            TokenKind::String if last == TokenKind::String => {}
            _ => {
                levels[top] += 1;
                sum += 1;
            }
        }
        match token {
            TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace => levels.push(0),
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace if top > 0 => {
                sum = sum.saturating_sub(levels.pop().unwrap_or_default());
            }
            _ => {}
        }
        last = token;
        most = most.max(sum + blocks);
        if most > MAX_DEPTH {
            return most;
        }
    }
}

/// What the first two lines say (PEP 263).
fn encoding(path: &str, content: &[u8], rules: &[Rule], found: &mut Findings) {
    for (number, line) in (1_u32..).zip(content.split(|byte| *byte == b'\n').take(2)) {
        let line = String::from_utf8_lossy(&line[..line.len().min(400)]).into_owned();
        let comment = line.trim_start().strip_prefix('#').and_then(|text| text.split_once("coding"));
        let Some(name) = comment.and_then(|(_, rest)| rest.strip_prefix([':', '='])) else { continue };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let name: String = name.trim_start().chars().take_while(|c| plain(*c)).collect();
        let said = name.to_ascii_lowercase().replace('_', "-");
        for rule in rules {
            if let Look::PythonEncoding { usual } = &rule.look
                && !said.is_empty()
                && !usual.contains(&said)
            {
                found.add(rule, Some((path, Some(number))), &name);
            }
        }
    }
}

fn imported(path: &str, (import, line): (&str, u32), rules: &[Rule], found: &mut Findings) {
    for rule in rules {
        let Look::PythonImport { modules } = &rule.look else { continue };
        let below = |module: &&String| {
            import.strip_prefix(module.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if let Some(module) = modules.iter().find(below) {
            found.add(rule, Some((path, Some(line))), module);
        }
    }
}

struct Walker<'w, 'a> {
    path: &'w str,
    rules: &'w [Rule],
    names: &'w Names<'a>,
    lines: &'w Lines,
    found: &'w mut Findings,
}

impl<'a> Walker<'_, 'a> {
    fn call(&mut self, call: &'a ExprCall) {
        let callees = self.names.resolve(&call.func);
        if callees.is_empty() {
            return;
        }
        for rule in self.rules {
            let Look::PythonCall(meant) = &rule.look else { continue };
            let Some(callee) = meant.callees.iter().find(|callee| callees.contains(*callee)) else { continue };
            if self.fits(meant, call) {
                let line = self.lines.at(call.func.range().start().to_usize());
                self.found.add(rule, Some((self.path, Some(line))), callee);
            }
        }
    }

    fn fits(&self, meant: &PythonCall, call: &'a ExprCall) -> bool {
        let arguments =
            || call.arguments.args.iter().chain(call.arguments.keywords.iter().map(|keyword| &keyword.value));
        let is = |expr: &Expr, value: bool| matches!(expr, Expr::BooleanLiteral(literal) if literal.value == value);
        let literal =
            || arguments().next().is_none_or(|first| text_of(first).is_some() || first.is_number_literal_expr());
        let keyword = meant.keyword.as_ref().is_none_or(|wanted| {
            let mut all = call.arguments.keywords.iter();
            all.any(|one| one.arg.as_deref() == Some(wanted.name.as_str()) && is(&one.value, wanted.value))
        });
        let spared = |expr: &Expr| self.names.resolve(expr).iter().any(|full| meant.unless.contains(full));
        let inner =
            || arguments().any(|expr| self.names.calls_in(expr).iter().any(|call| meant.with_call.contains(call)));
        keyword
            && !(meant.not_literal && literal())
            && (meant.unless.is_empty() || !arguments().any(spared))
            && (meant.with_call.is_empty() || inner())
    }

    /// A text that is given to something of a telling name.
    fn given(&mut self, name: &str, value: &Expr) {
        let Some(text) = value.as_string_literal_expr().map(|literal| literal.value.to_str()) else { return };
        for rule in self.rules {
            if let Look::PythonSecret { names, except } = &rule.look
                && is_telling(names, except, name, text)
            {
                let line = self.lines.at(value.range().start().to_usize());
                self.found.add(rule, Some((self.path, Some(line))), name);
            }
        }
    }

    fn target(&mut self, target: &Expr, value: &Expr) {
        match target {
            Expr::Name(name) => self.given(name.id.as_str(), value),
            Expr::Attribute(attribute) => self.given(attribute.attr.as_str(), value),
            Expr::Subscript(subscript) => {
                if let Some(key) = text_of(&subscript.slice) {
                    self.given(&key, value);
                }
            }
            _ => {}
        }
    }
}

fn is_telling(names: &Pattern, except: &Pattern, name: &str, text: &str) -> bool {
    names.matches(name.as_bytes()) && !except.matches(text.as_bytes())
}

impl<'a> Visitor<'a> for Walker<'_, 'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Assign(assign) => assign.targets.iter().for_each(|target| self.target(target, &assign.value)),
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    self.target(&assign.target, value);
                }
            }
            _ => {}
        }
        walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Call(call) => {
                self.call(call);
                for keyword in &call.arguments.keywords {
                    if let Some(name) = &keyword.arg {
                        self.given(name.as_str(), &keyword.value);
                    }
                }
            }
            Expr::Dict(dict) => {
                for item in &dict.items {
                    if let Some(key) = item.key.as_ref().and_then(text_of) {
                        self.given(&key, &item.value);
                    }
                }
            }
            _ => {}
        }
        walk_expr(self, expr);
    }
}
