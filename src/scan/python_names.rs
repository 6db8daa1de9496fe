//! What names in a Python file stand for: `sp.run` is `subprocess.run` after `import subprocess as sp`.
//!
//! Invariant: a name stands for everything it is given anywhere in the file, whatever the scope: more is found than there
//! is rather than less. Only one file is looked at, and no value is followed through calls.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, Operator, Stmt, StmtImport, StmtImportFrom};

/// Things that one name stands for, at most.
const MOST: usize = 16;
/// How often names that stand for names are followed.
const ROUNDS: usize = 3;
/// How far an expression is followed.
const REACH: usize = 12;
/// Expressions that are looked through for calls in one file.
const EFFORT: usize = 1_000_000;
/// Characters of a text that is put together.
const MAX_TEXT: usize = 4_096;

/// Names by what they stand for.
#[derive(Default)]
pub struct Names<'a> {
    known: BTreeMap<String, BTreeSet<String>>,
    /// Modules all of whose names are imported.
    stars: BTreeSet<String>,
    /// What is called where a name is given its value.
    made_by: BTreeMap<&'a str, BTreeSet<String>>,
    given: Vec<(&'a str, &'a Expr)>,
    effort: Cell<usize>,
    /// Modules, and names in them, that are imported, with the place.
    pub imports: Vec<(String, usize)>,
}

impl<'a> Names<'a> {
    pub fn of(body: &'a [Stmt]) -> Self {
        let mut names = Self::default();
        body.iter().for_each(|stmt| names.visit_stmt(stmt));
        let given = std::mem::take(&mut names.given);
        for _ in 0..ROUNDS {
            for (name, value) in &given {
                for full in names.resolve(value) {
                    names.stands_for(name, full);
                }
            }
        }
        for (name, value) in given {
            let all = names.calls_in(value);
            names.made_by.entry(name).or_default().extend(all);
        }
        names
    }

    fn stands_for(&mut self, name: &str, full: String) {
        let all = self.known.entry(name.to_owned()).or_default();
        if all.len() < MOST && full != name {
            all.insert(full);
        }
    }

    /// Everything that is called in `expr`, or was called to make a variable in it.
    pub fn calls_in(&self, expr: &'a Expr) -> BTreeSet<String> {
        let mut calls = Calls { names: self, all: BTreeSet::new() };
        calls.visit_expr(expr);
        calls.all
    }

    /// Whether the file was looked through to its end.
    pub fn is_whole(&self) -> bool {
        self.effort.get() < EFFORT
    }

    /// What an expression stands for, in full, as far as it is a name or leads to one.
    pub fn resolve(&self, expr: &Expr) -> BTreeSet<String> {
        self.follow(expr, REACH)
    }

    fn follow(&self, expr: &Expr, reach: usize) -> BTreeSet<String> {
        let Some(reach) = reach.checked_sub(1) else { return BTreeSet::new() };
        match expr {
            Expr::Name(name) => {
                let id = name.id.as_str();
                let mut all = self.known.get(id).cloned().unwrap_or_default();
                all.extend(self.stars.iter().take(MOST).map(|module| format!("{module}.{id}")));
                all.insert(id.to_owned());
                all
            }
            Expr::Attribute(attribute) => within(self.follow(&attribute.value, reach), attribute.attr.as_str()),
            Expr::Subscript(subscript) => {
                let Some(key) = text_of(&subscript.slice) else { return BTreeSet::new() };
                // `globals()["eval"]` and `__builtins__["eval"]`.
                let of = match &*subscript.value {
                    Expr::Call(call) => self.follow(&call.func, reach),
                    other => self.follow(other, reach),
                };
                let all = ["__builtins__", "globals", "vars", "locals"];
                if all.iter().any(|name| of.contains(*name)) { BTreeSet::from([key]) } else { BTreeSet::new() }
            }
            Expr::Call(call) => {
                let func = self.follow(&call.func, reach);
                match &*call.arguments.args {
                    [of, name, ..] if func.contains("getattr") => {
                        text_of(name).map(|name| within(self.follow(of, reach), &name)).unwrap_or_default()
                    }
                    [name, ..] if func.contains("__import__") || func.contains("importlib.import_module") => {
                        text_of(name).into_iter().collect()
                    }
                    _ => BTreeSet::new(),
                }
            }
            Expr::Named(named) => self.follow(&named.value, reach),
            _ => BTreeSet::new(),
        }
    }

    fn import(&mut self, import: &StmtImport) {
        for alias in &import.names {
            let module = alias.name.as_str();
            self.imports.push((module.to_owned(), import.range.start().to_usize()));
            // `import os.path` gives the name `os`, which stands for itself.
            if let Some(name) = &alias.asname {
                self.stands_for(name.as_str(), module.to_owned());
            }
        }
    }

    fn import_from(&mut self, import: &StmtImportFrom) {
        // What is beside the file has a name that no rule knows.
        let Some(module) = import.module.as_ref().filter(|_| import.level == 0) else { return };
        for alias in &import.names {
            let full = format!("{module}.{}", alias.name);
            self.imports.push((full.clone(), import.range.start().to_usize()));
            if alias.name.as_str() == "*" {
                self.stars.insert(module.to_string());
                continue;
            }
            let name = alias.asname.as_ref().unwrap_or(&alias.name).to_string();
            let full = full.strip_prefix("builtins.").map_or(full.clone(), str::to_owned);
            self.stands_for(&name, full);
        }
    }
}

impl<'a> Visitor<'a> for Names<'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Import(import) => self.import(import),
            Stmt::ImportFrom(import) => self.import_from(import),
            Stmt::Assign(assign) => {
                let names = assign.targets.iter().filter_map(Expr::as_name_expr);
                self.given.extend(names.map(|name| (name.id.as_str(), &*assign.value)));
            }
            Stmt::AnnAssign(assign) => {
                let name = assign.target.as_name_expr().map(|name| name.id.as_str());
                self.given.extend(name.zip(assign.value.as_deref()));
            }
            _ => {}
        }
        walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Named(named) = expr
            && let Some(name) = named.target.as_name_expr()
        {
            self.given.push((name.id.as_str(), &named.value));
        }
        walk_expr(self, expr);
    }
}

fn within(of: BTreeSet<String>, attribute: &str) -> BTreeSet<String> {
    let full = |base: String| match base.as_str() {
        "builtins" | "__builtins__" => attribute.to_owned(),
        _ => format!("{base}.{attribute}"),
    };
    of.into_iter().filter(|base| base.len() < MAX_TEXT).map(full).collect()
}

struct Calls<'n, 'a> {
    names: &'n Names<'a>,
    all: BTreeSet<String>,
}

impl<'a> Visitor<'a> for Calls<'_, 'a> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        self.names.effort.set(self.names.effort.get() + 1);
        if !self.names.is_whole() {
            return;
        }
        match expr {
            Expr::Call(call) => self.all.extend(self.names.resolve(&call.func)),
            Expr::Name(name) => {
                self.all.extend(self.names.made_by.get(name.id.as_str()).into_iter().flatten().cloned());
            }
            _ => {}
        }
        walk_expr(self, expr);
    }
}

/// A text that is written there, also in pieces.
pub fn text_of(expr: &Expr) -> Option<String> {
    let text = match expr {
        Expr::StringLiteral(literal) => literal.value.to_str().to_owned(),
        Expr::BinOp(both) if both.op == Operator::Add => text_of(&both.left)? + &text_of(&both.right)?,
        _ => return None,
    };
    (text.len() <= MAX_TEXT).then_some(text)
}
