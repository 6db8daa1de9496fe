//! What is found in packages, what is left alone, and what is named as not looked at.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::base::clock::Time;

fn scan_with(files: &[(&str, &[u8])], asks: Value, boms: Vec<Vec<u8>>, known: &Known, licences: &Licences) -> Report {
    look(&Subject { files: files.to_vec(), asks, boms }, known, licences, Time(0))
}

fn scan(files: &[(&str, &[u8])]) -> Report {
    scan_with(files, json!({}), Vec::new(), &Known::default(), &Licences::default())
}

/// Rules and lines of what is found in a Python file.
fn python(code: &str) -> Vec<(String, u32)> {
    let report = scan(&[("main.py", code.as_bytes())]);
    assert!(report.not_scanned.is_empty(), "{code}: {:?}", report.not_scanned);
    let mut all: Vec<_> =
        report.findings.into_iter().map(|finding| (finding.rule, finding.line.unwrap_or_default())).collect();
    all.sort();
    all
}

fn rules_of(code: &str) -> Vec<String> {
    let mut all: Vec<String> = python(code).into_iter().map(|(rule, _)| rule).collect();
    all.dedup();
    all
}

#[test]
fn calls_are_found_by_whatever_name() {
    for code in [
        "import subprocess\nsubprocess.run(x, shell=True)",
        "import subprocess as s\ns.run(x, shell=True)",
        "from subprocess import run\nrun(x, shell=True)",
        "from subprocess import run as r\nr(x, shell=True)",
        "from subprocess import *\nrun(x, shell=True)",
        "import subprocess\nr = subprocess.run\nr(x, shell=True)",
        "import subprocess\ns = subprocess\nr = s.run\nr(x, shell=True)",
        "import subprocess\ngetattr(subprocess, 'r' + 'un')(x, shell=True)",
        "__import__('subprocess').run(x, shell=True)",
        "import importlib\nimportlib.import_module('subprocess').run(x, shell=True)",
        "def f():\n    import subprocess as q\n    return [q.run(x, shell=True) for x in y]",
        "class A:\n    async def f(self):\n        import subprocess\n        await g(subprocess.run(x, shell=True))",
    ] {
        assert!(rules_of(code).contains(&"python-shell-true".to_owned()), "{code}: {:?}", python(code));
    }
    assert_eq!(rules_of("import subprocess\nsubprocess.run(['a'])"), ["python-process"]);
    assert_eq!(rules_of("run(x, shell=True)\nself.run(x, shell=True)\nsubprocess = 1"), Vec::<String>::new());
}

#[test]
fn code_that_is_made_at_run_time_is_told_from_code_that_is_there() {
    assert_eq!(python("x = 1\neval(y)"), [("python-exec".to_owned(), 2)]);
    for code in
        ["__builtins__['eval'](y)", "globals()['exec'](y)", "import builtins\nbuiltins.exec(y)", "e = eval\ne(y)"]
    {
        assert!(rules_of(code).contains(&"python-exec".to_owned()), "{code}");
    }
    for code in
        ["eval('1 + 1')", "import re\nre.compile(x)", "model.eval()", "ast.literal_eval(x)", "compile(x, '', 'exec')"]
    {
        assert_eq!(rules_of(code), Vec::<String>::new(), "{code}");
    }
    for code in [
        "import base64\nexec(base64.b64decode('cHJpbnQ='))",
        "from base64 import b64decode as d\nexec(compile(d(x), '', 'exec'))",
        "import zlib\npayload = zlib.decompress(x)\nexec(payload)",
        "import zlib, base64\na = base64.b64decode(x)\nb = zlib.decompress(a)\nexec(b.decode())",
        "exec(bytes.fromhex('70'))",
    ] {
        assert!(rules_of(code).contains(&"python-hidden-code".to_owned()), "{code}: {:?}", python(code));
    }
    assert_eq!(rules_of("import base64\nx = base64.b64decode(y)\nprint(x)"), Vec::<String>::new());
}

#[test]
fn data_that_runs_weak_sums_and_open_doors_are_found() {
    for (code, rule) in [
        ("import pickle\npickle.loads(x)", "python-deserialize"),
        ("import yaml\nyaml.load(x)", "python-yaml-load"),
        ("import hashlib\nhashlib.md5(x)", "python-weak-hash"),
        ("import requests\nrequests.get(u, verify=False)", "python-no-certificate-check"),
        ("import os\nos.system(x)", "python-shell"),
        ("import ctypes", "python-native"),
        ("from socket import create_connection", "python-socket"),
        ("import importlib\nimportlib.import_module(x)", "python-import-by-name"),
        ("import tempfile\ntempfile.mktemp()", "python-temporary-name"),
    ] {
        assert!(rules_of(code).contains(&rule.to_owned()), "{code}: {:?}", python(code));
    }
    for code in [
        "import yaml\nyaml.load(x, Loader=yaml.SafeLoader)",
        "import hashlib\nhashlib.sha256(x)",
        "import requests\nrequests.get(u, verify=True)",
        "import socketry",
        "from . import socket",
        "import json\njson.loads(x)",
    ] {
        assert_eq!(rules_of(code), Vec::<String>::new(), "{code}");
    }
}

#[test]
fn passwords_in_code_are_found_and_placeholders_are_not() {
    for code in [
        "password = 'tr0ub4dor&3'",
        "self.api_key: str = 'Zm9vYmFyYmF6'",
        "config['db_password'] = 'S3cr3t!!x'",
        "connect(user='a', passwd='hunter2X!')",
        "SETTINGS = {'client_secret': 'q8we7r6t5z4'}",
    ] {
        assert_eq!(rules_of(code), ["python-password"], "{code}");
    }
    for code in [
        "password = ''",
        "password = 'changeme'",
        "password = '<password>'",
        "password = '${DB_PASSWORD}'",
        "password_field = 'tr0ub4dor&3'",
        "token_url = 'tr0ub4dor&3'",
        "api_key = 'settings.api_key'",
        "password = read()",
        "secret = 'A sentence about it'",
    ] {
        assert_eq!(rules_of(code), Vec::<String>::new(), "{code}");
    }
}

#[test]
fn what_is_no_python_that_can_be_read_is_named() {
    let long = format!("x = 1\n{}", "#".repeat(python::MAX_BYTES));
    let deep = format!("x = {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    let chain = format!("x = {}1", "-".repeat(5_000));
    let sum = format!("x = a{}", " + a".repeat(5_000));
    for (code, why) in [
        ("x = = 1".as_bytes(), "line 1 is no Python"),
        (b"x = '\xff'", "not UTF-8"),
        (long.as_bytes(), "are looked at"),
        (deep.as_bytes(), "nested too deeply"),
        (chain.as_bytes(), "nested too deeply"),
        (sum.as_bytes(), "nested too deeply"),
    ] {
        let report = scan(&[("a.py", code)]);
        assert!(report.not_scanned[0].why.contains(why), "{:?}", report.not_scanned);
        assert_eq!(Policy::default().judge(&report), Verdict::Warned);
    }
    // Behind a fault the rest is looked at.
    let report = scan(&[("a.py", b"x = = 1\neval(y)\n")]);
    assert_eq!(report.findings[0].rule, "python-exec");
    // Long is not deep.
    let (list, text) = (format!("x = [{}]", "1, ".repeat(20_000)), format!("x = ({})", "'a'\n".repeat(20_000)));
    assert!(scan(&[("a.py", list.as_bytes()), ("b.py", text.as_bytes())]).not_scanned.is_empty());
    let report = scan(&[("a.py", b"#!/usr/bin/python\n# -*- coding: rot13 -*-\nriny(k)")]);
    assert_eq!((report.findings[0].rule.as_str(), report.findings[0].line), ("python-encoding", Some(2)));
    assert!(scan(&[("a.py", b"# -*- coding: utf-8 -*-\n")]).findings.is_empty());
}

#[test]
fn work_on_a_file_is_bounded() {
    // Each of these costs its square, or worse, when nobody counts.
    let nested = format!("{}x{}\n", "exec(".repeat(900), ")".repeat(900)).repeat(100);
    let called = format!("x = a{}\n", "().b".repeat(600)).repeat(100);
    let got = format!("{}x{}\n", "getattr(".repeat(300), ", 'a')".repeat(300)).repeat(100);
    let walrus = format!("{}x{}\n", "(y := ".repeat(600), ")".repeat(600)).repeat(100);
    for code in [nested, called, got, walrus] {
        scan(&[("a.py", code.as_bytes())]);
    }
    let many = "eval(x)\n".repeat(100_000);
    let report = scan(&[("a.py", many.as_bytes())]);
    assert_eq!((report.findings.len(), report.more), (MOST_ALIKE, 100_000 - MOST_ALIKE));
}

#[test]
fn the_worst_is_shown_first_also_among_many() {
    let files: Vec<(String, String)> = (0..200)
        .map(|number| (format!("{number:03}.py"), "import socket, pickle\nimport hashlib\nhashlib.md5(x)\n".to_owned()))
        .chain([("zzz.py".to_owned(), "import base64\nexec(base64.b64decode(x))".to_owned())])
        .collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
    let report = scan(&files);
    assert_eq!((report.findings.len(), report.findings[0].rule.as_str()), (MAX_FINDINGS, "python-hidden-code"));
    assert_eq!(report.more, 200 * 3 + 2 - MAX_FINDINGS);
    assert_eq!(Policy::default().judge(&report), Verdict::Blocked);
}

/// Put together here, so that nobody takes this file for a place of secrets.
fn secret(parts: &[&str]) -> String {
    parts.concat()
}

#[test]
fn secrets_are_found_in_any_file_and_not_shown() {
    let mixed = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5";
    for (text, rule) in [
        (secret(&["ghp", "_", mixed]), "secret-github"),
        (secret(&["key: AK", "IA2QW3ER4TY5UI6OPA", " "]), "secret-aws"),
        (secret(&["glpat", "-", "aB3dE5fG7hJ9kL1mN3pQ"]), "secret-gitlab"),
        (secret(&["npm", "_", mixed]), "secret-registry"),
        (
            secret(&["-----BEGIN RSA PRIVATE ", "KEY-----\nMIIEpAIBAAKCAQEA7bq2xV3+kd9s8f7g6h5j4k3l2m1n0b\n"]),
            "secret-private-key",
        ),
        (secret(&["postgres://app", ":", "tr0ub4dor3@db.site/x"]), "secret-in-address"),
    ] {
        let whole = format!("first\n  x = {text}\n");
        let report = scan(&[("notes.txt", whole.as_bytes())]);
        let [finding] = report.findings.as_slice() else { panic!("{rule}: {:?}", report.findings) };
        assert_eq!((finding.rule.as_str(), finding.line), (rule, Some(2)));
        assert!(!finding.text.contains(text.get(12..).unwrap().trim()), "{}", finding.text);
    }
    for text in [
        secret(&["ghp", "_", &"x".repeat(36)]),
        secret(&["AK", "IAIOSFODNN7EXAMPLE"]),
        "-----BEGIN PRIVATE KEY----- is how it begins".to_owned(),
        "postgres://user:password@host/database".to_owned(),
        "https://example.org/a:b@c".to_owned(),
    ] {
        assert_eq!(scan(&[("notes.txt", text.as_bytes())]).findings, [], "{text}");
    }
}

#[test]
fn a_secret_is_found_wherever_in_a_large_file() {
    let token = secret(&["ghp", "_", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"]);
    let mut content = vec![b'.'; 3 << 20];
    content.extend(format!(" {token}").as_bytes());
    assert_eq!(scan(&[("blob.bin", &content)]).findings[0].rule, "secret-github");
    let flood = "ghp_ ".repeat(3_000) + &token;
    let report = scan(&[("a.txt", flood.as_bytes())]);
    assert!(report.not_scanned[0].why.contains("3001 times"), "{:?}", report.not_scanned);
}

#[test]
fn files_are_told_by_their_names() {
    let report = scan(&[("lib/fast.so", b""), ("docs/so.md", b""), ("keys/id_rsa", b"")]);
    let rules: Vec<&str> = report.findings.iter().map(|finding| finding.rule.as_str()).collect();
    assert_eq!(rules, ["file-compiled", "file-key"]);
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn imports_of_components_are_held_against_the_contract_and_what_is_asked_for() {
    let host = r#"(component (import "resoftai:plugin/host@1.0.0" (instance
        (export "http-request" (func (param "url" string))) (export "log" (func)))))"#;
    let known = component(host);
    let with = |asks| scan_with(&[("plugin.wasm", &known)], asks, Vec::new(), &Known::default(), &Licences::default());
    assert_eq!(with(json!({})).findings[0].rule, "wasm-undeclared-http");
    assert_eq!(with(json!({"http": {"hosts": ["a.example"]}})).findings, []);
    let foreign =
        component(r#"(component (import "evil:door/way" (instance)) (import "wasi:sockets/tcp@0.2.0" (instance)))"#);
    let report = scan(&[("plugin.wasm", &foreign)]);
    let rules: Vec<&str> = report.findings.iter().map(|finding| finding.rule.as_str()).collect();
    assert_eq!(rules, ["wasm-foreign-import", "wasm-network-import"]);
    let core = component("(module)");
    for bytes in [core.as_slice(), b"\0asm", b"nothing", &foreign[..foreign.len() - 3]] {
        assert_eq!(scan(&[("plugin.wasm", bytes)]).not_scanned.len(), 1);
    }
}

#[test]
fn far_reaching_capabilities_are_told() {
    let asks = |host: &str| {
        let asks = json!({"http": {"hosts": [host]}});
        let report = scan_with(&[], asks, Vec::new(), &Known::default(), &Licences::default());
        report.findings.first().map(|finding| finding.rule.clone())
    };
    assert_eq!(asks("*").as_deref(), Some("capability-any-host"));
    assert_eq!(asks("*.com").as_deref(), Some("capability-any-host"));
    assert_eq!(asks("*.example.org").as_deref(), Some("capability-many-hosts"));
    assert_eq!(asks("203.0.113.7:8080").as_deref(), Some("capability-numeric-host"));
    assert_eq!(asks("api.example.org"), None);
    let asks = json!({"files": {"read": ["**"], "write": ["**"]}});
    let report = scan_with(&[], asks, Vec::new(), &Known::default(), &Licences::default());
    assert_eq!(report.findings[0].rule, "capability-write-everything");
}

fn bom(licence: &str, components: &[(&str, &str)]) -> Vec<u8> {
    let components: Vec<Value> = components
        .iter()
        .map(|(purl, licence)| json!({"name": purl, "purl": purl, "licenses": [{"expression": licence}]}))
        .collect();
    let plugin = json!({"name": "it", "version": "1.0.0", "licenses": [{"expression": licence}]});
    json!({"metadata": {"component": plugin}, "components": components}).to_string().into_bytes()
}

#[test]
fn licences_are_judged_as_expressions() {
    let rules = |allowed: &[&str], denied: &[&str], licence: &str| {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let licences = Licences { allowed: list(allowed), denied: list(denied) };
        let boms = vec![bom("MIT", &[("pkg:pypi/a@1.0", licence)])];
        let known = advised(&[]);
        let report = scan_with(&[], json!({}), boms, &known, &licences);
        report.findings.iter().map(|finding| finding.rule.clone()).collect::<Vec<_>>()
    };
    assert_eq!(rules(&[], &["AGPL-*"], "AGPL-3.0-only"), ["licence-denied"]);
    assert_eq!(rules(&[], &["AGPL-*"], "AGPL-3.0-only OR MIT"), Vec::<String>::new());
    assert_eq!(rules(&[], &["AGPL-*"], "AGPL-3.0-only AND MIT"), ["licence-denied"]);
    assert_eq!(rules(&["MIT", "Apache-2.0"], &[], "BSD-3-Clause"), ["licence-denied"]);
    assert_eq!(rules(&["MIT", "Apache-2.0"], &[], "Apache-2.0"), Vec::<String>::new());
    assert_eq!(rules(&["MIT"], &[], "ask the author"), ["licence-unknown"]);
    assert_eq!(rules(&[], &[], "AGPL-3.0-only"), Vec::<String>::new());
}

fn advised(all: &[Value]) -> Known {
    let mut advisories = Advisories::default();
    all.iter().for_each(|one| advisories.add(one.to_string().as_bytes()));
    if all.is_empty() {
        advisories.add(json!({"id": "X-1", "modified": "2026-01-02T03:04:05Z"}).to_string().as_bytes());
    }
    Known { advisories: Arc::new(advisories), ..Known::default() }
}

fn advisory(id: &str, ecosystem: &str, name: &str, events: &[(&str, &str)]) -> Value {
    let events: Vec<Value> = events.iter().map(|(kind, version)| json!({*kind: version})).collect();
    json!({"id": id, "modified": "2026-01-02T03:04:05Z", "summary": "It breaks.",
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        "affected": [{"package": {"ecosystem": ecosystem, "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]})
}

#[test]
fn libraries_are_looked_up_by_version() {
    let known = advised(&[
        advisory(
            "PYSEC-1",
            "PyPI",
            "Some.Library",
            &[("introduced", "0"), ("fixed", "1.2.post1"), ("introduced", "2.0a1"), ("last_affected", "2.1")],
        ),
        advisory("GHSA-1", "npm", "@scope/it", &[("introduced", "1.0.0"), ("fixed", "1.10.0")]),
    ]);
    let about = |purl: &str| {
        let report = scan_with(&[], json!({}), vec![bom("MIT", &[(purl, "MIT")])], &known, &Licences::default());
        assert!(report.not_scanned.is_empty(), "{purl}: {:?}", report.not_scanned);
        assert_eq!(report.advisories.count, 2);
        report.findings.len() == 1 && report.findings[0].severity == Severity::Critical
    };
    for (purl, is) in [
        ("pkg:pypi/some-library@1.2", true),
        ("pkg:pypi/some_library@1.2.post1", false),
        ("pkg:pypi/some-library@2.0b1", true),
        ("pkg:pypi/some-library@2.1", true),
        ("pkg:pypi/some-library@2.1.1", false),
        ("pkg:pypi/other@1.0", false),
        ("pkg:npm/%40scope/it@1.9.0", true),
        ("pkg:npm/%40scope/it@1.10.0", false),
        ("pkg:npm/%40scope/it@0.9.0", false),
        ("pkg:cargo/some-library@1.0.0", false),
    ] {
        assert_eq!(about(purl), is, "{purl}");
    }
}

#[test]
fn without_advisories_libraries_are_not_called_clean() {
    let boms = || vec![bom("MIT", &[("pkg:pypi/a@1.0", "MIT")])];
    let report = scan_with(&[], json!({}), boms(), &Known::default(), &Licences::default());
    assert_eq!((report.advisories.as_of, Policy::default().judge(&report)), (None, Verdict::Warned));
    let report = scan_with(&[], json!({}), boms(), &advised(&[]), &Licences::default());
    assert!(report.advisories.as_of.unwrap().to_string().starts_with("2026-01-02T03:04:05"));
    assert_eq!(Policy::default().judge(&report), Verdict::Clean);
    let boms = vec![bom("MIT", &[("pkg:pypi/a@not-a-version", "MIT"), ("pkg:deb/a@1", "MIT"), ("vendor/x", "MIT")])];
    let report = scan_with(&[], json!({}), boms, &advised(&[]), &Licences::default());
    assert_eq!(report.not_scanned.len(), 3, "{:?}", report.not_scanned);
}

#[test]
fn advisories_are_read_from_lists_and_archives_and_what_cannot_be_is_counted() {
    let one = advisory("PYSEC-1", "PyPI", "a", &[("introduced", "0")]);
    let mut advisories = Advisories::default();
    advisories.add(json!([one, one]).to_string().as_bytes());
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in [("a.json", one.to_string()), ("b.json", "{".to_owned())] {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut archive, text.as_bytes()).unwrap();
    }
    advisories.add(&archive.finish().unwrap().into_inner());
    advisories.add(b"nothing");
    advisories.add(b"PK\x03\x04 nothing");
    assert_eq!((advisories.state().count, advisories.state().left_out), (3, 3));
    let mut withdrawn = one.clone();
    withdrawn["withdrawn"] = "2026-02-01T00:00:00Z".into();
    let known = advised(&[withdrawn]);
    let boms = vec![bom("MIT", &[("pkg:pypi/a@1.0", "MIT")])];
    assert_eq!(scan_with(&[], json!({}), boms, &known, &Licences::default()).findings, []);
}

#[test]
fn severities_of_advisories_are_what_they_say() {
    let severity = |change: Value| {
        let mut one = advisory("GHSA-1", "PyPI", "a", &[("introduced", "0")]);
        change.as_object().unwrap().iter().for_each(|(key, value)| one[key] = value.clone());
        let boms = vec![bom("MIT", &[("pkg:pypi/a@1.0", "MIT")])];
        scan_with(&[], json!({}), boms, &advised(&[one]), &Licences::default()).findings[0].severity
    };
    assert_eq!(severity(json!({"database_specific": {"severity": "MODERATE"}})), Severity::Medium);
    assert_eq!(severity(json!({"severity": []})), Severity::High);
    assert_eq!(severity(json!({"id": "MAL-2026-1", "severity": []})), Severity::Critical);
    let low = json!([{"type": "CVSS_V3", "score": "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"}]);
    assert_eq!(severity(json!({"severity": low})), Severity::Low);
}

#[test]
fn a_policy_says_from_which_severity_on() {
    let report = scan(&[("a.py", b"eval(x)")]);
    let judge = |block, warn| Policy { block, warn, licences: Licences::default() }.judge(&report);
    assert_eq!(judge(Some(Severity::High), None), Verdict::Blocked);
    assert_eq!(judge(Some(Severity::Critical), Some(Severity::High)), Verdict::Warned);
    assert_eq!(judge(Some(Severity::Critical), Some(Severity::Critical)), Verdict::Clean);
    assert_eq!(judge(None, None), Verdict::Clean);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_never_break_it(content in prop::collection::vec(any::<u8>(), 0..2_000)) {
        scan_with(&[("a.py", &content), ("b.wasm", &content), ("c", &content)], json!({}), vec![content.clone()], &Known::default(), &Licences::default());
        Advisories::default().add(&content);
    }

    #[test]
    fn nor_does_what_looks_like_python(pieces in prop::collection::vec(prop::sample::select(vec![
        "(", ")", "[", "]", "{", "}", "f'{", "'", "\"\"\"", "\n", "    ", "\t", "def f", ":", "lambda", "eval", "import os", ".", ",",
        "=", ":=", "-", "not ", "await ", "x", "1", "#", "coding: ", "\\", "match x:", "case ", "*", "@", "é", "\u{feff}", "\0",
    ]), 0..200)) {
        let code = pieces.concat();
        scan(&[("a.py", code.as_bytes())]);
    }

    #[test]
    fn nor_do_damaged_components(at in 0_usize..400, byte in any::<u8>()) {
        let mut bytes = component(r#"(component (import "a:b/c" (instance (export "d" (func)))) (core module (func)))"#);
        let place = at % bytes.len();
        bytes[place] = byte;
        scan(&[("plugin.wasm", &bytes)]);
    }
}
