//! A changed configuration is taken in while the server runs: what can count at once does, and what is wrong changes nothing.

use std::path::Path;

use serde_json::json;

use crate::app::App;

/// Puts another certificate in the place of the site's own.
fn replace_certificate(dir: &Path) {
    let minted = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("tls/key.pem"), minted.signing_key.serialize_pem()).unwrap();
    std::fs::write(dir.join("tls/cert.pem"), minted.cert.pem()).unwrap();
}

/// Whether a client that trusts exactly this certificate gets an answer.
fn answers_with(app: &App, fingerprint: &str) -> bool {
    let server = format!("https://{}", app.address);
    let arguments = ["--server", &server, "--fingerprint", fingerprint, "whoami"];
    let told = app.cli(&arguments, "");
    // Nobody signed in: the server says so, which it can only over a connection that was trusted.
    !String::from_utf8_lossy(&told.stderr).to_lowercase().contains("certificate")
}

#[tokio::test]
async fn a_new_certificate_counts_for_new_connections_and_a_broken_one_for_none() {
    let app = App::start_https();
    let old = app.fingerprint.clone().unwrap();
    assert!(answers_with(&app, &old));
    replace_certificate(app.dir.path());
    let reloaded = app.cli_json(&["reload"], "");
    let new = reloaded["fingerprint"].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    assert_eq!((&reloaded["changed"], &reloaded["needs_restart"]), (&json!(["server.tls_cert"]), &json!([])));
    assert!(answers_with(&app, &new) && !answers_with(&app, &old));

    // A key of another certificate; half a file.
    let whole = std::fs::read(app.dir.path().join("tls/key.pem")).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().signing_key.serialize_pem();
    for broken in [other.as_bytes(), &whole[..whole.len() / 2], b""] {
        std::fs::write(app.dir.path().join("tls/key.pem"), broken).unwrap();
        let refused = app.cli(&["--json", "reload"], "");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("\"certificate\""));
        assert!(answers_with(&app, &new));
    }
    let trail = app.cli_json(&["audit", "list", "--resource", "configuration"], "");
    let told: Vec<_> = trail["items"].as_array().unwrap().iter().map(|entry| entry["success"].clone()).collect();
    assert_eq!(told, [json!(false), json!(false), json!(false), json!(true)]);
}

#[tokio::test]
async fn a_signal_does_the_same() {
    let app = App::start_https();
    let old = app.fingerprint.clone().unwrap();
    replace_certificate(app.dir.path());
    let pid = rustix::process::Pid::from_raw(app.process_id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    let started = std::time::Instant::now();
    while answers_with(&app, &old) {
        assert!(started.elapsed() < std::time::Duration::from_secs(30), "the certificate is not taken in");
    }
}
