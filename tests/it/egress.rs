//! That nothing but the configured hosts is dialled: what `resoftai egress prove` says, and what really goes out on a network of
//! the test's own, whose packets are counted.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::app::{App, BINARY, database_of};

fn prove(dir: &Path, settings: &[(&str, &str)]) -> (bool, Value) {
    let mut command = Command::new(BINARY);
    command.env_clear().envs(settings.iter().copied()).args(["--json", "egress", "prove", "--data-dir"]).arg(dir);
    if let Some(url) = database_of(dir) {
        command.env("DATABASE_URL", url);
    }
    let output = command.output().unwrap();
    let proof = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.success(), proof)
}

/// `host:port by` of each, but for the test's own database.
fn hosts(proof: &Value) -> Vec<String> {
    let all = proof["hosts"].as_array().unwrap().iter().filter(|host| host["by"] != "database");
    all.map(|host| format!("{}:{} {}", host["host"].as_str().unwrap(), host["port"], host["by"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn the_hosts_of_a_site_are_listed_and_no_others_can_be_dialled() {
    let app = App::start();
    let root = app.person("root", "admin", None).await;
    let (proven, proof) = prove(app.dir.path(), &[]);
    assert!(proven, "{proof}");
    assert_eq!(hosts(&proof), [""; 0]);
    let told = proof["checks"].to_string();
    for tried in
        ["https://[2001:db8::1]", "http://169.254.169.254", "http://localhost:9", "http://10.0.0.1", "a redirect leads"]
    {
        assert!(told.contains(tried), "{tried}: {told}");
    }

    let provider = json!({"name": "lab", "base_url": "http://192.0.2.8:8000/v1", "models": ["m"]});
    let provider = app.call("POST", "/api/llm/providers", Some(&root), Some(provider)).await;
    assert_eq!(provider.status, 201, "{}", provider.body);
    let settings = [
        ("LLM_API_BASE", "http://192.0.2.7:8000/v1"),
        ("RESOFTAI_SMTP_HOST", "192.0.2.25"),
        ("RESOFTAI_SMTP_FROM", "site@example.org"),
        ("RESOFTAI_AUDIT_SYSLOG", "tls://192.0.2.51:6514"),
    ];
    let (proven, proof) = prove(app.dir.path(), &settings);
    assert!(proven, "{proof}");
    let expected =
        ["192.0.2.7:8000 models", "192.0.2.25:587 mail", "192.0.2.51:6514 audit trail", "192.0.2.8:8000 models"];
    assert_eq!(hosts(&proof), expected);
    assert!(proof["checks"].to_string().contains("another port of a host on the list"), "{proof}");
    // Who is on the list is not dialled by the proof, only who is not: nobody answers at a documentation address.
    let checks = proof["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["level"] == "pass"), "{proof}");
}

/// A network of its own with one way out, on which every packet is counted: a cable that all routes lead to, with nobody at its
/// other end. Prints the packets that left before, and after the script's work.
const NETWORK: &str = r#"
set -eu
sent() { awk '/out0:/ {print $11}' /proc/net/dev; }
ip link set lo up
ip link add out0 type veth peer name far0
ip link set far0 up
# What the kernel itself would send about IPv6.
echo 0 >/proc/sys/net/ipv6/conf/out0/router_solicitations
echo 1 >/proc/sys/net/ipv6/conf/out0/addr_gen_mode
ip address add 198.51.100.2/24 dev out0
ip -6 address add 2001:db8::2/64 dev out0 nodad
ip link set out0 up arp off
ip route add default dev out0
ip -6 route add default dev out0
# Reports about multicast groups end within seconds.
last=none; while [ "$last" != "$(sent)" ]; do last=$(sent); sleep 2; done
echo "before $(sent)"
"$BINARY" --data-dir "$DATA" serve --http --listen 127.0.0.1:8443 >/dev/null 2>&1 &
server=$!
resoftai() { "$BINARY" --json --data-dir "$DATA" "$@" >/dev/null; }
tries=0; until resoftai whoami 2>/dev/null; do tries=$((tries + 1)); [ $tries -lt 100 ]; sleep 0.2; done
"#;

/// The requests of a day.
const WORK: &str = r#"
resoftai admin create-org --name Acme --slug acme --tier starter
echo 'correct horse battery' | resoftai admin create-user --username ada --email ada@example.org --role developer --org acme --password-stdin
resoftai project create --name shop --org acme
echo 'print(1)' | resoftai file put shop:main.py -
resoftai model list
resoftai plugin list
resoftai market search x
resoftai mirror status
resoftai licence show
resoftai audit list
resoftai quota show --org acme
resoftai doctor || true
resoftai egress prove
curl -s http://127.0.0.1:8443/ >/dev/null
curl -sf http://127.0.0.1:8443/metrics >/dev/null
curl -sf http://127.0.0.1:8443/api/docs/ >/dev/null
sleep 3
"#;

const END: &str = r#"
kill $server; wait $server || true
echo "after $(sent)"
"#;

/// Packets that a server sent on a network of its own while a script worked; None where there can be no such network.
fn packets(work: &str, settings: &[(&str, &str)]) -> Option<u64> {
    let allowed = Command::new("unshare").args(["--net", "true"]).output().ok()?.status.success();
    if !allowed {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = [NETWORK, work, END].concat();
    let mut command = Command::new("timeout");
    command.args(["240", "unshare", "--net", "sh", "-c", &script]);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("BINARY", BINARY).env("DATA", dir.path());
    let output = command.envs(settings.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let count = |word: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(word)).unwrap_or_else(|| panic!("no {word}: {text}"));
        line.trim().parse::<u64>().unwrap()
    };
    Some(count("after ") - count("before "))
}

// Where it cannot be run, it says so.
#[allow(clippy::print_stderr)]
#[test]
fn a_site_that_names_no_host_sends_no_packet() {
    match packets(WORK, &[]) {
        Some(sent) => assert_eq!(sent, 0, "packets left the site"),
        None => eprintln!("not tested: only root may make a network of its own"),
    }
}

// Where it cannot be run, it says so.
#[allow(clippy::print_stderr)]
#[test]
fn the_count_of_packets_sees_a_host_that_is_named() {
    match packets("resoftai model list; sleep 3", &[("LLM_API_BASE", "http://198.51.100.7:8000/v1")]) {
        Some(sent) => assert!(sent > 0, "the model server of the settings was not asked, or not counted"),
        None => eprintln!("not tested: only root may make a network of its own"),
    }
}
