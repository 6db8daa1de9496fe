//! `make bench`: the budgets of speed, measured on the release binary, and how cost grows with data.
//!
//! The method for a noisy machine: what is measured runs on one processor, what measures on another; both sides of a
//! comparison run in turns, in one run; of the rounds' figures the median counts. Servers to compare with and writers are
//! this same program in other roles, so that they too can be put on a processor.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod fixed;
mod hostile;
mod inside;
mod load;
mod plugins;
mod process;
mod site;
mod trail;
mod writes;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use bytes::Bytes;

use load::{Ask, drive};
use process::{MEASURED, MEASURING, Server, pinned};
use site::Site;

const ROUNDS: usize = 5;
/// How long one side is measured in one round.
const TURN: Duration = Duration::from_secs(2);
const USAGE: &str = "usage: resoftai-bench PATH_OF_RESOFTAI FOLDER_FOR_WHAT_IS_KEPT [PART..]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["bare", file] => fixed::bare(file),
        ["model"] => fixed::model(),
        ["write", how, database, org] => {
            let write = if how == "ours" { writes::ours } else { writes::raw };
            write(Path::new(database), org.parse().unwrap(), TURN);
        }
        ["check", organizations] => inside::check(organizations.parse().unwrap()),
        ["reserve", database, org] => inside::reserve(Path::new(database), org.parse().unwrap(), TURN),
        ["record", database, org, count] => {
            inside::record(Path::new(database), org.parse().unwrap(), count.parse().unwrap());
        }
        ["plugins", parts] => plugins::plugins(Path::new(parts)),
        ["sequence", dir] => inside::sequence(Path::new(dir)),
        [program, kept, ref parts @ ..] => return bench(Path::new(program), Path::new(kept), parts),
        _ => panic!("{USAGE}"),
    }
    ExitCode::SUCCESS
}

/// All parts, or those that are named.
fn bench(program: &Path, kept: &Path, named: &[&str]) -> ExitCode {
    println!("| What | Figure | Budget | |\n|---|---|---|---|");
    let model = Server::start(pinned(MEASURING, &itself()).arg("model"));
    let site = Site::new(program, &model.address);
    let parts: [(&str, &dyn Fn() -> bool); 11] = [
        ("start", &|| starts(program)),
        ("list", &|| list(&site)),
        ("write", &|| group_commit(&site)),
        ("gateway", &|| gateway(&site, &model)),
        ("permission", &checks),
        ("quota", &|| reserving(&site)),
        ("plugins", &plugin_calls),
        ("hostile", &|| hostile::beside(&site)),
        ("sequence", &|| trail::sequencing(&site)),
        ("trail", &|| trail::grown(&site, program, kept)),
        ("growth", &|| growth(&site)),
    ];
    let wanted = parts.iter().filter(|(name, _)| named.is_empty() || named.contains(name));
    let kept: Vec<bool> = wanted.map(|(_, part)| part()).collect();
    if kept.iter().all(|kept| *kept) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn starts(program: &Path) -> bool {
    let starts: Vec<_> = (0..ROUNDS).map(|_| site::starts(program)).collect();
    let of = |figure: fn(&[(f64, f64); 2]) -> f64| median(starts.iter().map(figure));
    let first = below("First start to `/healthz`, on an empty data directory", of(|s| s[0].0), 150.0, "ms");
    let again = below("Later start to `/healthz`", of(|s| s[1].0), 150.0, "ms");
    first & again & below("Resident memory at rest, no plugin loaded", of(|s| s[1].1), 60.0, "MiB")
}

fn projects(site: &Site) -> Ask {
    let token = site.session.clone();
    Ask { method: "GET", path: "/api/projects?limit=20", token, body: Bytes::new(), vary: false, wanted: 200 }
}

fn list(site: &Site) -> bool {
    let (server, ask) = (site.start(), projects(site));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), load::once(&server.address, &ask)).unwrap();
    let bare = Server::start(pinned(MEASURED, &itself()).arg("bare").arg(file.path()));
    let bare_ask = Ask { path: "/", ..ask.clone() };
    let new_ask = Ask { vary: true, ..ask.clone() };
    let rounds = (0..ROUNDS).map(|_| {
        let theirs = drive(&bare.address, &bare_ask, 16, TURN).per_second;
        let new = drive(&server.address, &new_ask, 16, TURN).per_second;
        (drive(&server.address, &ask, 16, TURN).per_second, theirs, new)
    });
    let rounds: Vec<_> = rounds.collect();
    tell("`GET /api/projects?limit=20`, 20 projects, 16 connections", median(rounds.iter().map(|r| r.0)), "a second");
    tell("The same, another page each time: read from the database", median(rounds.iter().map(|r| r.2)), "a second");
    tell("A bare axum handler with the same bytes", median(rounds.iter().map(|r| r.1)), "a second");
    above("List of projects against the bare handler", median(rounds.iter().map(|r| 100.0 * r.0 / r.1)), 50.0, "%")
}

/// Writes a second, each side on a database of its own that begins as the site's.
fn write_rounds(site: &Site, sides: &[&str]) -> Vec<Vec<f64>> {
    let dir = tempfile::tempdir().unwrap();
    let databases: Vec<PathBuf> = sides.iter().map(|side| dir.path().join(side)).collect();
    for database in &databases {
        std::fs::copy(site.database(), database).unwrap();
    }
    let turn = |(side, database): (&&str, &PathBuf)| {
        let mut command = pinned(MEASURED, &itself());
        let output = command.args(["write", side]).arg(database).arg(site.org.to_string()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().unwrap()
    };
    (0..ROUNDS).map(|_| sides.iter().zip(&databases).map(turn).collect()).collect()
}

fn group_commit(site: &Site) -> bool {
    let rounds = write_rounds(site, &["raw", "ours"]);
    tell(
        "Durable audited writes through the group commit, 512 at once",
        median(rounds.iter().map(|r| r[1])),
        "a second",
    );
    tell("The same rows by rusqlite in batches of 256", median(rounds.iter().map(|r| r[0])), "a second");
    above("Group commit against batches by hand", median(rounds.iter().map(|r| 100.0 * r[1] / r[0])), 60.0, "%")
}

fn gateway(site: &Site, model: &Server) -> bool {
    let body = r#"{"model":"smollm2-135m-instruct","messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"Write one short sentence about a quick brown fox, please."}],"max_tokens":64,"temperature":0}"#;
    let path = "/v1/chat/completions";
    let ask = Ask {
        method: "POST",
        path,
        token: site.token.clone(),
        body: Bytes::from_static(body.as_bytes()),
        vary: false,
        wanted: 200,
    };
    let server = site.start();
    let (mut added, mut direct, mut cost, mut rate) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let straight = drive(&model.address, &ask, 1, TURN);
        let through = drive(&server.address, &ask, 1, TURN);
        added.push(through.p50 - straight.p50);
        direct.push(straight.p50);
        let before = server.cpu();
        let many = drive(&server.address, &ask, 16, TURN);
        cost.push((server.cpu() - before) / many.sent as f64);
        rate.push(many.per_second);
    }
    tell("Model server without the gateway, p50 at one connection", median(direct), "us");
    tell("Gateway with key, quota, usage and audit, 16 connections", median(rate), "a second");
    let latency = below("Gateway: added p50 at one connection", median(added), 200.0, "us");
    latency & below("Gateway: processor time a request", median(cost), 100.0, "us")
}

fn checks() -> bool {
    let kept = [1, 100, 10_000].map(|organizations: i64| {
        let turn = |_| trail::inside(&["check", &organizations.to_string()])["ns"].as_f64().unwrap();
        let what = format!("Permission check at a team, holding roles in {organizations} organisations");
        below(&what, median((0..ROUNDS).map(turn)), 200.0, "ns")
    });
    kept.iter().all(|kept| *kept)
}

fn reserving(site: &Site) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("resoftai.db");
    std::fs::copy(site.database(), &database).unwrap();
    let arguments = ["reserve", &database.to_string_lossy(), &site.org.to_string()];
    let rounds = (0..ROUNDS).map(|_| trail::inside(&arguments)["p50"].as_f64().unwrap());
    below("Quota: setting tokens aside and settling adds to a call, p50", median(rounds), 10.0, "us")
}

/// What the sandbox adds to a plugin's own code. Not on one processor: that plugins run side by side is measured too.
fn plugin_calls() -> bool {
    let parts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/parts");
    let rounds: Vec<serde_json::Value> = (0..ROUNDS)
        .map(|_| {
            let output = Command::new(itself()).arg("plugins").arg(&parts).output().unwrap();
            serde_json::from_slice(&output.stdout).unwrap()
        })
        .collect();
    let of = |name: &str| median(rounds.iter().map(|round| round[name].as_f64().unwrap()));
    tell("Python hook on a file of 200 lines, warm, p50", of("python 200"), "us");
    tell("The same beyond the Python code itself, 1 line", of("python 1 beyond"), "us");
    tell("The same beyond the Python code itself, 2,000 lines", of("python 2000 beyond"), "us");
    tell("Hook of a component without a runtime on 200 lines, its own work included", of("component 200"), "us");
    let python =
        below("Python hook beyond the Python code itself, 200 lines, p50", of("python 200 beyond"), 150.0, "us");
    let component = below("Hook of a component without a runtime, 1 line, p50", of("component 1"), 10.0, "us");
    let load = below("Loading a Python plugin, p50", of("load"), 50.0, "ms");
    let many = below("Resident memory with 50 Python plugins at work", of("many"), 1536.0, "MiB");
    let both = below("Two plugins on two processors against one alone", of("side by side"), 1.5, "times");
    python & component & load & many & both
}

/// How cost grows with data: nothing here has a budget.
fn growth(site: &Site) -> bool {
    let ask = projects(site);
    let listed = |site: &Site| {
        let server = site.start();
        let figures = drive(&server.address, &ask, 1, TURN);
        server.stop();
        figures.p50
    };
    writes::grow(&site.database(), site.org, 1_000, 0);
    tell("List of 20 of 1,000 projects, p50 at one connection", listed(site), "us");
    let few = median(write_rounds(site, &["ours"]).into_iter().map(|r| r[0]));
    tell("Durable audited writes, 1,000 projects, few audit entries", few, "a second");
    writes::grow(&site.database(), site.org, 99_000, 1_000_000);
    tell("List of 20 of 100,000 projects, p50 at one connection", listed(site), "us");
    let many = median(write_rounds(site, &["ours"]).into_iter().map(|r| r[0]));
    tell("Durable audited writes, 100,000 projects, 1,000,000 audit entries", many, "a second");
    true
}

fn itself() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn tell(what: &str, figure: f64, unit: &str) {
    println!("| {what} | {} {unit} | | |", digits(figure));
}

fn digits(figure: f64) -> String {
    if figure < 10.0 { format!("{figure:.1}") } else { format!("{figure:.0}") }
}

fn below(what: &str, figure: f64, budget: f64, unit: &str) -> bool {
    judge(what, figure, &format!("under {budget} {unit}"), unit, figure < budget)
}

fn above(what: &str, figure: f64, budget: f64, unit: &str) -> bool {
    judge(what, figure, &format!("at least {budget} {unit}"), unit, figure >= budget)
}

fn judge(what: &str, figure: f64, budget: &str, unit: &str, kept: bool) -> bool {
    println!("| {what} | {} {unit} | {budget} | {} |", digits(figure), if kept { "kept" } else { "**missed**" });
    kept
}
