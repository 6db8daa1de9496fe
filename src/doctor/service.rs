//! The systemd unit: installed, switched on, and not failed.
//!
//! Invariant: where systemd does not run there is nothing to be wrong.

use std::collections::HashMap;
use std::path::Path;

use super::{Check, process};

const CODE: &str = "service";
const UNIT: &str = "resoftai.service";
/// What `systemctl show` is asked for.
const PROPERTIES: &str =
    "LoadState,UnitFileState,ActiveState,SubState,Result,NRestarts,NeedDaemonReload,User,FragmentPath";

/// Whether systemd runs this machine (sd_booted(3)).
pub fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

pub(super) async fn checks() -> Vec<Check> {
    if !has_systemd() {
        return vec![Check::pass(CODE, "systemd does not run here, so there is no unit to look at.")];
    }
    let said = process::run("systemctl", &["show", UNIT, "--no-pager", "--property", PROPERTIES], 1 << 16).await;
    let Some(said) = said.filter(|said| said.succeeded) else {
        let seen = "systemctl did not tell how the unit stands.";
        return vec![Check::warn(CODE, seen, format!("Ask it yourself: systemctl status {UNIT}"))];
    };
    vec![judge(&read(&said.text))]
}

/// `NAME=value` lines.
pub fn read(text: &str) -> HashMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once('=')).collect()
}

fn judge(unit: &HashMap<&str, &str>) -> Check {
    let of = |name: &str| unit.get(name).copied().unwrap_or_default();
    let restarts: u64 = of("NRestarts").parse().unwrap_or_default();
    let state = format!("{} ({})", of("ActiveState"), of("SubState"));
    if of("LoadState") != "loaded" {
        let mend = "Install the package, or run the bundle's install.sh; without a unit nothing starts the server after a restart.";
        return Check::warn(CODE, format!("{UNIT} is not installed ({}).", of("LoadState")), mend);
    }
    if of("ActiveState") == "failed" || of("Result") != "success" {
        let seen = format!("{UNIT} is {state}: {}; restarted {restarts} times.", of("Result"));
        return Check::fail(CODE, seen, format!("journalctl -u {UNIT} -n 50 says why; then: systemctl restart {UNIT}"));
    }
    if !matches!(of("UnitFileState"), "enabled" | "enabled-runtime" | "static" | "alias" | "generated") {
        let seen = format!("{UNIT} is {}: it does not come back when the machine restarts.", of("UnitFileState"));
        return Check::warn(CODE, seen, format!("systemctl enable {UNIT}"));
    }
    if of("NeedDaemonReload") == "yes" {
        let seen = format!("{} was changed since systemd read it.", of("FragmentPath"));
        return Check::warn(CODE, seen, format!("systemctl daemon-reload; systemctl restart {UNIT}"));
    }
    if restarts > 0 {
        let seen = format!("{UNIT} is {state}, and was restarted {restarts} times after it ended by itself.");
        return Check::warn(CODE, seen, format!("journalctl -u {UNIT} -p warning says why it ended."));
    }
    Check::pass(CODE, format!("{UNIT} is {}, {state}, and was never restarted.", of("UnitFileState")))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    /// As systemd 252 answers for a unit in order.
    const GOOD: &str = "NRestarts=0\nUser=resoftai\nResult=success\nLoadState=loaded\nActiveState=active\nSubState=running\n\
                        FragmentPath=/usr/lib/systemd/system/resoftai.service\nUnitFileState=enabled\nNeedDaemonReload=no\n";

    #[test]
    fn a_unit_is_judged_by_what_systemd_says() {
        for (from, to, level) in [
            ("NRestarts=0", "NRestarts=0", Level::Pass),
            ("LoadState=loaded", "LoadState=not-found", Level::Warn),
            ("UnitFileState=enabled", "UnitFileState=disabled", Level::Warn),
            ("NeedDaemonReload=no", "NeedDaemonReload=yes", Level::Warn),
            ("NRestarts=0", "NRestarts=3", Level::Warn),
            ("ActiveState=active", "ActiveState=failed", Level::Fail),
            ("Result=success", "Result=watchdog", Level::Fail),
        ] {
            let text = GOOD.replace(from, to);
            let check = judge(&read(&text));
            assert_eq!(check.level, level, "{to}: {}", check.seen);
            assert_eq!(check.mend.is_none(), level == Level::Pass);
        }
    }
}
