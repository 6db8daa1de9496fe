//! Watching a run: the event stream as live lines on a terminal, plain lines in a pipe, JSON lines for programs.
//!
//! Invariant: a connection that drops is taken up again after the last durable event, so nothing is missed and nothing is
//! said twice. Stopping to watch never stops the run.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::client::Reply;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::file;
use crate::cli::output::{Output, cell, clean, size};
use crate::cli::sse::{Event, Parser};

/// Attempts to take the stream up again without an event in between; with the waits below that is about three minutes.
const ATTEMPTS: u32 = 15;
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// How many findings the summary shows; all are in `project findings` of the UI and in `--json`.
const FINDINGS: usize = 20;

/// Watches the run until it ends, then says what came of it.
///
/// # Errors
/// `run_failed` when it ended failed or canceled, `detached` on Ctrl-C, `unreachable` when the server stayed away.
pub async fn follow(id: i64, context: &Context) -> Result<()> {
    let mut view = View::new(context.out);
    let ended = tokio::select! {
        ended = watch(id, context, &mut view) => ended,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            let detail = format!("Stopped watching; run {id} goes on. Come back with `resoftai runs follow {id}`, or end it with `resoftai runs cancel {id}`.");
            Err(Failure::new(Exit::Detached, "detached", detail))
        }
    };
    view.clear();
    let run = ended?;
    summary(&run, context).await?;
    if run["status"] == "completed" {
        return Ok(());
    }
    let why = run["error"]["detail"].as_str().map(|detail| format!(" {detail}")).unwrap_or_default();
    let detail = format!("Run {id} ended {} at {}.{why}", cell(&run, "status"), cell(&run, "stage"));
    let code = if run["status"] == "canceled" { "run_canceled" } else { "run_failed" };
    let failure = Failure::new(Exit::RunFailed, code, detail);
    Err(if code == "run_failed" {
        failure.and(&format!("Try the stage again with `resoftai runs retry {id}`."))
    } else {
        failure
    })
}

/// Reads the stream over as many connections as it takes; gives the run in its final state.
async fn watch(id: i64, context: &Context, view: &mut View) -> Result<Value> {
    let path = format!("/api/runs/{id}/events");
    let mut last: Option<String> = None;
    let mut failed = 0;
    loop {
        let before = last.clone();
        let lost = match context.client.open(&path, "text/event-stream", last.as_deref()).await {
            Ok(reply) => match read(reply, &mut last, view).await {
                Ok(Some(run)) => return Ok(run),
                Ok(None) => "the stream ended".to_owned(),
                Err(failure) => lost(failure)?,
            },
            Err(failure) => lost(failure)?,
        };
        failed = if last == before { failed + 1 } else { 1 };
        if failed > ATTEMPTS {
            let detail = format!("{lost} The run may go on without us; come back with `resoftai runs follow {id}`.");
            return Err(Failure::new(Exit::Unreachable, "unreachable", detail));
        }
        view.lost(&lost)?;
        tokio::time::sleep(Duration::from_secs(1 << failed.min(4)).min(LONGEST_WAIT) - Duration::from_secs(1)).await;
    }
}

/// Whether to try again: yes when the server could not be reached or could not serve, no when it answered with a refusal.
fn lost(failure: Failure) -> Result<String> {
    let may_pass = failure.exit() == Exit::Unreachable || matches!(failure.status(), Some(429 | 500..));
    if may_pass { Ok(failure.detail().to_owned()) } else { Err(failure) }
}

async fn read(mut reply: Reply, last: &mut Option<String>, view: &mut View) -> Result<Option<Value>> {
    let (mut parser, mut ended) = (Parser::default(), None);
    while let Some(piece) = reply.piece().await? {
        for event in parser.push(&piece)? {
            let data: Value = serde_json::from_str(&event.data).unwrap_or(Value::Null);
            view.show(&event, &data)?;
            if event.id.is_some() {
                *last = event.id;
            }
            // A run that was taken up again has ended before: the end of the stream decides.
            if event.name == "status" {
                ended = is_final(&data).then_some(data);
            }
        }
    }
    Ok(ended)
}

fn is_final(run: &Value) -> bool {
    matches!(run["status"].as_str(), Some("completed" | "failed" | "canceled"))
}

/// What the watcher sees.
struct View {
    out: Output,
    /// Absent where nobody watches live.
    bars: Option<Bars>,
    status: String,
}

struct Bars {
    all: MultiProgress,
    stages: BTreeMap<String, ProgressBar>,
    now: ProgressBar,
    /// The line that a model is writing.
    tail: String,
}

impl View {
    fn new(out: Output) -> Self {
        let live = !out.is_json() && out.is_terminal() && io::stderr().is_terminal();
        Self { out, bars: live.then(Bars::new), status: String::new() }
    }

    fn show(&mut self, event: &Event, data: &Value) -> Result<()> {
        if self.out.is_json() {
            return self.out.value(&json!({"event": event.name, "id": event.id, "data": data}));
        }
        match event.name.as_str() {
            "status" => self.status(data),
            "stage" => self.stage(data),
            "delta" => {
                if let Some(bars) = &mut self.bars {
                    bars.delta(data);
                }
                Ok(())
            }
            "file" => {
                let (path, bytes) = (cell(data, "file.path"), data["file"]["size"].as_u64().unwrap_or(0));
                self.line(&format!("  wrote {path} ({}, version {})", size(bytes), cell(data, "file.version")))
            }
            "finding" if data["count"] != 0 => {
                let (count, worst, path) = (cell(data, "count"), cell(data, "worst"), cell(data, "path"));
                self.line(&format!("  {}: {count} findings in {path}, worst {worst}", cell(data, "plugin")))
            }
            "message" => {
                self.line(&format!("  {} [{}] {}", cell(data, "level"), cell(data, "role"), cell(data, "text")))
            }
            "tokens" => {
                if let Some(bars) = &mut self.bars {
                    bars.now.set_prefix(format!("{} tokens", cell(data, "tokens_used")));
                }
                Ok(())
            }
            // A newer server may say more than we know how to show.
            _ => Ok(()),
        }
    }

    fn status(&mut self, run: &Value) -> Result<()> {
        for stage in run["stages"].as_array().map(Vec::as_slice).unwrap_or_default() {
            if let Some(bars) = &mut self.bars {
                bars.stage(stage);
            }
        }
        let status = cell(run, "status");
        if status == self.status {
            return Ok(());
        }
        self.status = status;
        self.line(&format!("run {} is {}", cell(run, "id"), self.status))
    }

    fn stage(&mut self, stage: &Value) -> Result<()> {
        match &mut self.bars {
            Some(bars) => {
                bars.stage(stage);
                Ok(())
            }
            None => self.line(&stage_line(stage)),
        }
    }

    fn lost(&self, why: &str) -> Result<()> {
        match &self.bars {
            Some(bars) => bars.now.set_message(format!("{} Trying again ..", clean(why))),
            None => self.out.note(&format!("{why} Trying again .."))?,
        }
        Ok(())
    }

    fn line(&self, text: &str) -> Result<()> {
        match &self.bars {
            Some(bars) => Ok(bars.all.println(text)?),
            None => self.out.line(text),
        }
    }

    fn clear(&self) {
        if let Some(bars) = &self.bars {
            bars.now.finish_and_clear();
            bars.stages.values().for_each(ProgressBar::abandon);
        }
    }
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::new();
        let now = all.add(ProgressBar::new_spinner());
        now.set_style(style("{spinner} {prefix} {wide_msg:.dim}"));
        now.enable_steady_tick(Duration::from_millis(120));
        Self { all, stages: BTreeMap::new(), now, tail: String::new() }
    }

    fn stage(&mut self, stage: &Value) {
        let name = cell(stage, "stage");
        let (all, now) = (&self.all, &self.now);
        let bar = self.stages.entry(name).or_insert_with(|| all.insert_before(now, ProgressBar::new_spinner()));
        if stage["status"] == "running" {
            bar.set_style(style("{spinner:.cyan} {wide_msg}"));
            bar.enable_steady_tick(Duration::from_millis(120));
            self.tail.clear();
        } else {
            let mark = match stage["status"].as_str() {
                Some("done") => "✓",
                Some("failed") => "✗",
                Some("skipped") => "–",
                _ => "·",
            };
            bar.disable_steady_tick();
            bar.set_style(style(&format!("{mark} {{wide_msg}}")));
        }
        bar.set_message(stage_line(stage));
    }

    fn delta(&mut self, data: &Value) {
        self.tail.push_str(data["text"].as_str().unwrap_or_default());
        // Only the line that is being written shows, and only what fits.
        let line = self.tail.trim_end_matches('\n').rsplit('\n').next().unwrap_or_default();
        let line: String = line.chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
        self.now.set_message(format!("{}: {}", cell(data, "role"), clean(&line).replace('\t', " ")));
        self.tail = line;
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// "development           developer             running   1234 tokens  12.3 s".
fn stage_line(stage: &Value) -> String {
    let mut line = format!("{:<21} {:<21} {:<8}", cell(stage, "stage"), cell(stage, "role"), cell(stage, "status"));
    if stage["tokens"].as_i64().is_some_and(|tokens| tokens > 0) {
        line.push_str(&format!(" {:>7} tokens", cell(stage, "tokens")));
    }
    if let Some(seconds) = seconds(stage) {
        line.push_str(&format!(" {seconds:>7.1} s"));
    }
    if stage["attempts"].as_i64().is_some_and(|attempts| attempts > 1) {
        line.push_str(&format!("  attempt {}", stage["attempts"]));
    }
    line.trim_end().to_owned()
}

fn seconds(timed: &Value) -> Option<f64> {
    let at = |name: &str| timed[name].as_str()?.parse::<jiff::Timestamp>().ok();
    Some(at("finished_at")?.duration_since(at("started_at")?).as_secs_f64())
}

/// The files, their findings, and what it took.
async fn summary(run: &Value, context: &Context) -> Result<()> {
    let (client, out, project) = (&context.client, &context.out, &run["project_id"]);
    let mut files = client.all(&format!("/api/projects/{project}/files")).await?;
    let findings = client.all(&format!("/api/projects/{project}/findings")).await?;
    if out.is_json() {
        return out.value(&json!({"event": "summary", "data": {"run": run, "files": files, "findings": findings}}));
    }
    let bytes: u64 = files.iter().filter_map(|file| file["size"].as_u64()).sum();
    out.line("")?;
    if !files.is_empty() {
        files.iter_mut().for_each(file::humanise);
        let columns = [
            ("path", "path"),
            ("size", "size"),
            ("language", "language"),
            ("version", "version"),
            ("findings", "worst"),
        ];
        out.table(&files, &columns)?;
    }
    if !findings.is_empty() {
        out.line("")?;
        let columns = [
            ("severity", "severity"),
            ("file", "path"),
            ("line", "line"),
            ("plugin", "plugin"),
            ("finding", "message"),
        ];
        out.table(&worst_first(&findings), &columns)?;
    }
    if findings.len() > FINDINGS {
        out.line(&format!("and {} more findings", findings.len() - FINDINGS))?;
    }
    let took = seconds(run).map(|seconds| format!(" in {seconds:.0} s")).unwrap_or_default();
    let tokens = cell(run, "tokens_used");
    out.line(&format!(
        "\n{} files, {}, {} findings, {tokens} tokens{took}.",
        files.len(),
        size(bytes),
        findings.len()
    ))?;
    if !files.is_empty() {
        out.line(&format!("Fetch them: resoftai project download {project} -o project-{project}.zip"))?;
    }
    Ok(())
}

fn worst_first(findings: &[Value]) -> Vec<Value> {
    let rank = |finding: &Value| match finding["severity"].as_str() {
        Some("critical") => 0,
        Some("high") => 1,
        Some("medium") => 2,
        _ => 3,
    };
    let mut sorted = findings.to_vec();
    sorted.sort_by_key(rank);
    sorted.truncate(FINDINGS);
    sorted
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_one_line() {
        let stage = json!({"stage": "testing", "role": "test_engineer", "status": "done", "tokens": 1234, "attempts": 2,
            "started_at": "2026-01-01T00:00:00.000000Z", "finished_at": "2026-01-01T00:00:12.300000Z"});
        let line = stage_line(&stage);
        assert_eq!(line, "testing               test_engineer         done        1234 tokens    12.3 s  attempt 2");
        let pending = json!({"stage": "testing", "role": "test_engineer", "status": "pending", "tokens": 0});
        assert!(stage_line(&pending).ends_with("pending"));
    }

    #[test]
    fn a_refusal_ends_the_watch_and_a_drop_does_not() {
        assert!(lost(Failure::from_reply(404, b"{}")).is_err());
        assert!(lost(Failure::from_reply(401, b"{}")).is_err());
        assert!(lost(Failure::from_reply(503, b"{}")).is_ok());
        assert!(lost(Failure::new(Exit::Unreachable, "unreachable", "gone")).is_ok());
    }

    #[test]
    fn the_worst_findings_come_first() {
        let findings = [json!({"severity": "low"}), json!({"severity": "critical"}), json!({"severity": "high"})];
        let sorted: Vec<String> = worst_first(&findings).iter().map(|finding| cell(finding, "severity")).collect();
        assert_eq!(sorted, ["critical", "high", "low"]);
    }
}
