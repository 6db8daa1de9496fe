//! What `/metrics` says of the site, and that the alerts and the dashboard of `packaging/monitoring` ask for what is there.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::app::App;

/// Counted from the first time on that it happens.
const LATER: [&str; 6] = [
    "audit_forward_behind",
    "backup_proven_timestamp_seconds",
    "backup_taken_timestamp_seconds",
    "mirror_expires_timestamp_seconds",
    "plugin_calls_total",
    "quota_refusals_total",
];

/// Over HTTPS, whose certificate is the site's own.
fn figures(app: &App) -> String {
    let output = Command::new("curl").args(["-sk", &format!("https://{}/metrics", app.address)]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn value(figures: &str, name: &str) -> f64 {
    let line = figures.lines().find(|line| line.split([' ', '{']).next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name}")).rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn a_site_measures_what_ends_and_what_fills_up() {
    let app = App::start_https();
    let figures = figures(&app);
    assert!(figures.contains(&format!("build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))), "{figures}");
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    for ends in ["certificate_expires_timestamp_seconds", "licence_expires_timestamp_seconds"] {
        assert!(value(&figures, ends) > now, "{ends} in {figures}");
    }
    let (free, size) = (value(&figures, "disk_free_bytes"), value(&figures, "disk_size_bytes"));
    assert!(free > 0.0 && free < size, "{free} of {size}");
    assert!(!figures.contains("backup_taken"), "there is none yet");
}

#[test]
fn alerts_and_dashboard_ask_for_figures_that_there_are() {
    let app = App::start_https();
    // What was asked before is counted.
    figures(&app);
    let known = figures(&app);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/monitoring");
    let texts = ["alerts.yaml", "dashboard.json"].map(|name| std::fs::read_to_string(folder.join(name)).unwrap());
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut asked = BTreeSet::new();
    for text in &texts {
        for line in text.lines().filter(|line| line.contains("expr")) {
            asked.extend(line.split(|c| !is_name(c)).filter(|word| {
                ["_seconds", "_total", "_bytes", "_bucket", "_behind", "_queued", "_info"]
                    .iter()
                    .any(|end| word.ends_with(end))
            }));
        }
    }
    assert!(asked.len() > 12, "{asked:?}");
    let sources = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server/gauges.rs")).unwrap();
    for name in asked {
        let is_there = known.lines().any(|line| line.starts_with(name));
        let comes = LATER.contains(&name) || sources.contains(&format!("\"{name}\""));
        assert!(is_there || comes, "nothing measures {name}");
    }
}
