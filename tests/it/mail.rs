//! Mails of the site, carried to a real mail server with TLS and sign-in.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::{App, PASSWORD};
use crate::mail_server::{Authority, MAIL_PASSWORD, MailServer, free_port, settings};

const PATIENCE: Duration = Duration::from_secs(60);

fn site(settings: &[(&'static str, String)]) -> App {
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    App::start_with_settings(&settings)
}

/// A setting in the place of the one there was.
fn with(mut settings: Vec<(&'static str, String)>, name: &'static str, value: &str) -> Vec<(&'static str, String)> {
    settings.retain(|(known, _)| *known != name);
    settings.push((name, value.to_owned()));
    settings
}

/// Sends a test mail; the name of the step that failed and what was told of it.
fn test_mail(app: &App) -> (String, String) {
    let output = app.cli(&["--json", "admin", "test-mail", "ada@example.org"], "");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(i32::from(told["delivered"] == false)), "{told}");
    let steps = told["steps"].as_array().unwrap();
    let last = steps.last().unwrap();
    assert_eq!(last["ok"], told["delivered"], "{told}");
    (last["step"].as_str().unwrap().to_owned(), last["detail"].as_str().unwrap().to_owned())
}

async fn invite(app: &App, token: &str, org: i64, email: &str) -> Value {
    let body = json!({"email": email, "role": "developer"});
    let reply = app.call("POST", &format!("/api/organizations/{org}/invitations"), Some(token), Some(body)).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.body
}

/// The mail to `recipient` in the site's list once it is in `state`.
async fn listed(app: &App, recipient: &str, state: &str) -> Value {
    let started = Instant::now();
    loop {
        let list = app.cli_json(&["mail", "list"], "");
        let found = list["items"].as_array().unwrap().iter().find(|mail| mail["recipient"] == recipient);
        if let Some(mail) = found.filter(|mail| mail["state"] == state) {
            return mail.clone();
        }
        assert!(started.elapsed() < PATIENCE, "no mail to {recipient} is {state}: {list}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The line of a mail's body that is a link.
fn link(mail: &Value) -> String {
    let body = mail["body"].as_str().unwrap();
    body.lines().find(|line| line.starts_with("https://")).unwrap_or_else(|| panic!("no link in {body}")).to_owned()
}

#[tokio::test]
async fn an_invitation_arrives_once_with_a_link_that_lets_in() {
    let authority = Authority::new();
    let server = MailServer::start(&authority);
    let app = site(&server.settings(&authority));
    let org = app.org("acme");
    let root = app.person("root", "admin", None).await;
    let sent = invite(&app, &root, org, "Ada@example.org").await;
    assert_eq!(sent["mailed"], true);
    let code = sent["code"].as_str().unwrap();
    assert_eq!(sent["link"], format!("https://site.example/invitation#{code}"));
    let mail = &server.mails_to("Ada@example.org", 1).await[0];
    assert_eq!((&mail["tls"], &mail["signed_in"]), (&json!(true), &json!(true)));
    assert_eq!(
        (mail["subject"].as_str(), mail["sender"].as_str()),
        (Some("Invitation to acme"), Some("resoftai@site.example"))
    );
    assert_eq!(link(mail), sent["link"]);
    assert_eq!((&mail["stray_breaks"], &mail["defects"]), (&json!(false), &json!([])));
    let header = |name: &str| {
        let headers = mail["headers"].as_array().unwrap();
        headers.iter().find(|header| header[0] == name).unwrap_or_else(|| panic!("{name} in {headers:?}"))[1].clone()
    };
    assert_eq!(header("From"), "ResoftAI <resoftai@site.example>");
    assert_eq!(header("Auto-Submitted"), "auto-generated");
    assert!(header("Content-Type").as_str().unwrap().starts_with("text/plain"), "{mail}");
    assert!(header("Message-ID").as_str().unwrap().ends_with("@site.example>"), "{mail}");
    listed(&app, "Ada@example.org", "sent").await;
    assert_eq!(
        app.sql_texts("SELECT recipient FROM mails WHERE body IS NOT NULL"),
        [""; 0],
        "the code is gone from here"
    );
    let accepted = json!({"code": code, "username": "ada", "password": PASSWORD});
    assert_eq!(app.call("POST", "/api/invitations/accept", None, Some(accepted)).await.status, 201);
    assert_eq!(server.mails_to("Ada@example.org", 1).await.len(), 1);
}

#[tokio::test]
async fn a_test_mail_tells_each_step() {
    let authority = Authority::new();
    let server = MailServer::start(&authority);
    let app = site(&server.settings(&authority));
    let output = app.cli(&["admin", "test-mail", "ada@example.org"], "");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}");
    let words = [
        "resolved",
        "127.0.0.1",
        "connected",
        "secured",
        "TLSv1 3",
        "valid for localhost",
        "signed in",
        "PLAIN",
        "accepted",
        "250",
    ];
    for word in words {
        assert!(told.contains(word), "no {word} in {told}");
    }
    let mail = &server.mails_to("ada@example.org", 1).await[0];
    assert!(mail["subject"].as_str().unwrap().starts_with("Test of the mails"), "{mail}");
    let status = app.cli_json(&["mail", "status"], "");
    assert_eq!(
        (&status["configured"], &status["queued"], &status["security"]),
        (&json!(true), &json!(0), &json!("starttls"))
    );
    assert!(!status.to_string().contains(MAIL_PASSWORD));
    let refused = app.cli(&["admin", "test-mail", "ada@example.org\r\nRCPT TO:<x@example.org>"], "");
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
}

#[tokio::test]
async fn a_test_mail_tells_what_to_do_about_what_is_wrong() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = MailServer::start(&authority);
    let good = server.settings(&authority);
    let (step, told) = test_mail(&site(&with(good.clone(), "SMTP_PASSWORD", "wrong")));
    assert!(step == "signed_in" && told.contains("535") && told.contains("smtp.password"), "{step}: {told}");
    let (step, told) = test_mail(&site(&with(good.clone(), "RESOFTAI_NETWORK_CA_FILE", &other.file())));
    assert!(step == "secured" && told.contains("network.ca_file"), "{step}: {told}");
    let (step, told) = test_mail(&site(&with(good.clone(), "SMTP_HOST", "127.0.0.1")));
    assert!(step == "secured" && told.contains("another name"), "{step}: {told}");
    let (step, told) = test_mail(&site(&with(good.clone(), "RESOFTAI_SMTP_SECURITY", "tls")));
    assert!(step == "secured" && told.contains("TLS"), "{step}: {told}");
    let (step, told) = test_mail(&site(&with(good.clone(), "SMTP_PORT", &free_port().to_string())));
    assert!(step == "connected" && told.contains("refused the connection"), "{step}: {told}");
    let (step, told) = test_mail(&site(&with(good, "SMTP_HOST", "no-such-host.invalid")));
    assert!(step == "resolved" && told.contains("no-such-host.invalid"), "{step}: {told}");
    let own = authority.own_certificate("localhost");
    let server = MailServer::start_with(&["--cert", own.to_str().unwrap()]);
    let trusting = with(server.settings(&authority), "RESOFTAI_NETWORK_CA_FILE", own.to_str().unwrap());
    let (step, told) = test_mail(&site(&trusting));
    assert!(step == "secured" && told.contains("CA:TRUE"), "{step}: {told}");
    assert_eq!(server.mails(), [Value::Null; 0]);
}

#[tokio::test]
async fn mails_that_wait_together_go_over_one_connection_as_long_as_the_server_takes_more() {
    for (each, most) in [("0", 4), ("3", 8)] {
        let (authority, port) = (Authority::new(), free_port());
        let app = site(&settings(&authority, port));
        let org = app.org("acme");
        let root = app.person("root", "admin", None).await;
        for n in 0..12 {
            invite(&app, &root, org, &format!("p{n}@example.org")).await;
        }
        invite(&app, &root, org, "gone@example.org").await;
        // All of them wait for the server by now.
        let started = Instant::now();
        while app.cli_json(&["mail", "list", "--limit", "100"], "")["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|mail| mail["attempts"] == 0)
        {
            assert!(started.elapsed() < PATIENCE, "not every mail was tried");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let server = MailServer::start_more(&authority, port, &["--each", each]);
        app.sql("UPDATE jobs SET run_at = 1 WHERE kind = 'mail.send'");
        app.sql("UPDATE mails SET next_attempt_at = 1 WHERE state = 'queued'");
        let mut connections = std::collections::BTreeMap::<i64, usize>::new();
        for n in 0..12 {
            let mails = server.mails_to(&format!("p{n}@example.org"), 1).await;
            assert_eq!((mails.len(), &mails[0]["signed_in"]), (1, &json!(true)));
            *connections.entry(mails[0]["connection"].as_i64().unwrap()).or_default() += 1;
        }
        listed(&app, "gone@example.org", "failed").await;
        // Two are sent at a time, and one that refused a recipient goes on.
        assert!(connections.len() <= most, "{connections:?}");
        assert!(each == "0" || connections.values().all(|mails| *mails <= 3), "{connections:?}");
    }
}

#[tokio::test]
async fn an_address_beyond_ascii_is_written_to_where_the_server_takes_it_and_refused_where_not() {
    let authority = Authority::new();
    let server = MailServer::start_more(&authority, 0, &["--utf8"]);
    let app = site(&server.settings(&authority));
    let org = app.org("acme");
    let root = app.person("root", "admin", None).await;
    invite(&app, &root, org, "jürgen@bücher.example").await;
    let mail = &server.mails_to("jürgen@bücher.example", 1).await[0];
    assert_eq!((&mail["subject"], &mail["defects"]), (&json!("Invitation to acme"), &json!([])));
    let plain = MailServer::start(&authority);
    let app = site(&plain.settings(&authority));
    let org = app.org("acme");
    let root = app.person("root", "admin", None).await;
    invite(&app, &root, org, "jürgen@bücher.example").await;
    let refused = listed(&app, "jürgen@bücher.example", "failed").await;
    let told = refused["last_error"].as_str().unwrap();
    assert!(told.contains("SMTPUTF8") && told.contains("jürgen@bücher.example"), "{told}");
    assert_eq!(refused["attempts"], 1, "another try would not help");
}

#[tokio::test]
async fn tls_from_the_first_byte_works_too() {
    let authority = Authority::new();
    let certificate = authority.certificate("localhost");
    let server = MailServer::start_with(&["--implicit", "--cert", certificate.to_str().unwrap()]);
    let mut settings = with(server.settings(&authority), "RESOFTAI_SMTP_SECURITY", "tls");
    settings.retain(|(name, _)| !["SMTP_USER", "SMTP_PASSWORD"].contains(name));
    assert_eq!(test_mail(&site(&settings)).0, "accepted");
}

#[tokio::test]
async fn nothing_is_sent_when_starttls_is_taken_out_on_the_way() {
    let authority = Authority::new();
    let server = MailServer::start_with(&[]);
    let app = site(&server.settings(&authority));
    let (step, told) = test_mail(&app);
    assert!(step == "secured" && told.contains("STARTTLS"), "{step}: {told}");
    let org = app.org("acme");
    let root = app.person("root", "admin", None).await;
    invite(&app, &root, org, "ada@example.org").await;
    let started = Instant::now();
    while listed(&app, "ada@example.org", "queued").await["attempts"] == 0 {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.mails(), [Value::Null; 0]);
}

/// Somebody on the way puts words of their own behind the server's, to be taken for what it says once TLS is there.
#[tokio::test]
async fn words_put_in_before_tls_are_not_taken_for_the_servers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        stream.write_all(b"220 mail ESMTP\r\n").unwrap();
        let mut heard = vec![lines.next().unwrap().unwrap()];
        stream.write_all(b"250-mail\r\n250 STARTTLS\r\n").unwrap();
        heard.push(lines.next().unwrap().unwrap());
        stream.write_all(b"220 go ahead\r\n250 evil\r\n").unwrap();
        heard.extend(lines.map_while(Result::ok));
        heard
    });
    let (step, told) = test_mail(&site(&settings(&Authority::new(), port)));
    assert!(step == "secured" && told.contains("before TLS"), "{step}: {told}");
    assert_eq!(heard.join().unwrap(), ["EHLO site.example", "STARTTLS"]);
}

#[tokio::test]
async fn a_server_that_talks_without_end_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        while stream.write_all(&[b'2'; 8192]).is_ok() {}
    });
    let (step, told) = test_mail(&site(&settings(&Authority::new(), port)));
    assert!(step == "connected" && told.contains("said too much"), "{step}: {told}");
}

#[tokio::test]
async fn what_was_queued_survives_a_crash_and_arrives_once_when_the_server_is_back() {
    let (authority, port) = (Authority::new(), free_port());
    let mut app = site(&settings(&authority, port));
    let org = app.org("acme");
    let root = app.person("root", "admin", None).await;
    let sent = invite(&app, &root, org, "ada@example.org").await;
    assert_eq!(sent["mailed"], true);
    app.crash_and_restart();
    let server = MailServer::start_at(&authority, port);
    let mails = server.mails_to("ada@example.org", 1).await;
    assert_eq!(link(&mails[0]), sent["link"]);
    listed(&app, "ada@example.org", "sent").await;
    app.crash_and_restart();
    invite(&app, &root, org, "bob@example.org").await;
    server.mails_to("bob@example.org", 1).await;
    assert_eq!(server.mails_to("ada@example.org", 1).await.len(), 1, "it came twice");
}

#[tokio::test]
async fn an_invitation_that_counts_no_more_is_not_mailed() {
    let (authority, port) = (Authority::new(), free_port());
    let app = site(&settings(&authority, port));
    let org = app.org("acme");
    let root = app.person("root", "admin", None).await;
    let at =
        |sent: &Value, verb: &str| format!("/api/organizations/{org}/invitations/{}{verb}", sent["invitation"]["id"]);
    let revoked = invite(&app, &root, org, "ada@example.org").await;
    assert_eq!(app.call("DELETE", &at(&revoked, ""), Some(&root), None).await.status, 204);
    let used = invite(&app, &root, org, "bob@example.org").await;
    let accepted = json!({"code": used["code"], "username": "bob", "password": PASSWORD});
    assert_eq!(app.call("POST", "/api/invitations/accept", None, Some(accepted)).await.status, 201);
    let first = invite(&app, &root, org, "eve@example.org").await;
    let second = app.call("POST", &at(&first, "/resend"), Some(&root), Some(json!({}))).await.body;
    let server = MailServer::start_at(&authority, port);
    assert_eq!(link(&server.mails_to("eve@example.org", 1).await[0]), second["link"]);
    listed(&app, "eve@example.org", "sent").await;
    let list = app.cli_json(&["mail", "list"], "");
    let invitations = list["items"].as_array().unwrap().iter().filter(|mail| mail["kind"] == "invitation");
    assert_eq!(invitations.count(), 1, "{list}");
}

#[tokio::test]
async fn a_mail_refused_for_now_is_tried_again_and_one_refused_for_good_is_given_up() {
    let authority = Authority::new();
    let server = MailServer::start(&authority);
    let app = site(&server.settings(&authority));
    let org = app.org("acme");
    let root = app.person("root", "admin", None).await;
    invite(&app, &root, org, "later@example.org").await;
    invite(&app, &root, org, "gone@example.org").await;
    let gone = listed(&app, "gone@example.org", "failed").await;
    assert_eq!((&gone["attempts"], &gone["next_attempt_at"]), (&json!(1), &Value::Null));
    assert!(gone["last_error"].as_str().unwrap().contains("550 5.1.1 No such user here"), "{gone}");
    server.mails_to("later@example.org", 1).await;
    assert_eq!(listed(&app, "later@example.org", "sent").await["attempts"], 2);
    // The site's administrators are told, by a notice that is no mail, and the trail has it.
    let notices = app.call("GET", "/api/notices", Some(&root), None).await.body;
    assert_eq!(notices["items"][0]["kind"], "mail_given_up", "{notices}");
    let trail = app.cli_json(&["audit", "list", "--resource", "mail"], "");
    assert_eq!(
        (&trail["items"][0]["success"], &trail["items"][0]["resource_id"]),
        (&json!(false), &json!(gone["id"].to_string())),
        "{trail}"
    );
    assert!(!trail.to_string().contains("gone@"), "the address is not in the trail");
    // It can be tried again while its text is kept; one that was sent cannot.
    app.cli_json(&["mail", "retry", &gone["id"].to_string()], "");
    assert_eq!(listed(&app, "gone@example.org", "failed").await["attempts"], 2);
    let sent = listed(&app, "later@example.org", "sent").await["id"].to_string();
    let refused = app.cli(&["--json", "mail", "retry", &sent], "");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("mail_gone"), "{refused:?}");
    let unread = app.call("GET", "/api/notices", Some(&root), None).await.body["unread"].clone();
    assert_eq!(unread, 1, "one notice for as many mails as were given up");
}

#[tokio::test]
async fn a_mail_that_waits_is_dropped_and_never_sent() {
    let (authority, port) = (Authority::new(), free_port());
    let app = site(&settings(&authority, port));
    let org = app.org("acme");
    let root = app.person("root", "admin", None).await;
    for address in ["wrong@example.org", "right@example.org"] {
        invite(&app, &root, org, address).await;
    }
    let [wrong, right] =
        [listed(&app, "wrong@example.org", "queued").await, listed(&app, "right@example.org", "queued").await];
    app.cli_json(&["mail", "drop", &wrong["id"].to_string()], "");
    let again = app.cli(&["--json", "mail", "drop", &wrong["id"].to_string()], "");
    assert!(String::from_utf8_lossy(&again.stderr).contains("not_found"), "{again:?}");
    let trail = app.cli_json(&["audit", "list", "--resource", "mail"], "");
    assert_eq!(
        (&trail["items"][0]["action"], &trail["items"][0]["resource_id"]),
        (&json!("delete"), &json!(wrong["id"].to_string()))
    );
    assert!(!trail.to_string().contains("wrong@"), "the address is not in the trail");
    let server = MailServer::start_at(&authority, port);
    app.cli_json(&["mail", "retry", &right["id"].to_string()], "");
    server.mails_to("right@example.org", 1).await;
    listed(&app, "right@example.org", "sent").await;
    assert_eq!(app.sql_texts("SELECT recipient FROM mails"), ["right@example.org"]);
    assert_eq!(
        app.sql_texts("SELECT kind FROM jobs WHERE kind = 'mail.send'"),
        [""; 0],
        "a job waits for what is gone"
    );
    let status = app.cli_json(&["mail", "status"], "");
    assert_eq!((&status["queued"], &status["sent"], &status["failed"]), (&json!(0), &json!(1), &json!(0)));
}

#[tokio::test]
async fn people_choose_which_notices_are_mailed_but_what_guards_their_account_always_is() {
    let authority = Authority::new();
    let server = MailServer::start(&authority);
    let app = site(&server.settings(&authority));
    let org = app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let path = "/api/notices/preferences";
    assert_eq!(app.call("GET", path, Some(&boss), None).await.body["mail"], "important");
    assert_eq!(app.call("PUT", path, Some(&boss), Some(json!({"mail": "none"}))).await.status, 200);
    assert_eq!(app.call("PUT", path, Some(&boss), Some(json!({"mail": "some"}))).await.status, 400);
    app.cli_json(&["org", "suspend", "acme", "--reason", "unpaid"], "");
    app.cli_json(&["org", "resume", "acme"], "");
    let change = json!({"current": PASSWORD, "new": "another correct horse battery"});
    assert_eq!(app.call("PUT", "/api/auth/password", Some(&boss), Some(change)).await.status, 204);
    let mails = server.mails_to("boss@example.org", 1).await;
    assert_eq!(mails[0]["subject"], "Your password was changed");
    assert!(mails[0]["body"].as_str().unwrap().contains("If this was not you"), "{}", mails[0]);
    assert_eq!(app.call("PUT", path, Some(&boss), Some(json!({"mail": "all"}))).await.status, 200);
    // Whatever a notice says, it is one line of a subject and a body, and no header.
    let text = "Grüße\r\nBcc: evil@example.org\r\n\r\n.\r\nMAIL FROM:<x@example.org>\u{2028}Ω";
    app.sql(&format!(
        "INSERT INTO notices (id, user_id, organization_id, kind, text, link, created_at) SELECT 9000001, id, {org}, \
         'quota_warning', '{text}', '/organizations/{org}', (SELECT MAX(created_at) FROM notices) FROM users WHERE \
         username = 'boss'"
    ));
    let mails = server.mails_to("boss@example.org", 2).await;
    let mail = &mails[1];
    assert_eq!(mail["subject"], "Grüße  Bcc: evil@example.org    .  MAIL FROM:<x@example.org> Ω");
    assert_eq!(mail["recipients"], json!(["boss@example.org"]));
    assert!(!mail["headers"].to_string().contains("\"Bcc\""), "{mail}");
    assert!(mail["body"].as_str().unwrap().contains("\r\n.\r\nMAIL FROM"), "{mail}");
    assert_eq!(mail["stray_breaks"], false);
    assert!(link(mail).ends_with(&format!("/organizations/{org}")), "{mail}");
    assert_eq!(server.mails().len(), 2, "{:?}", server.mails());
}

#[tokio::test]
async fn who_forgot_a_password_gets_a_code_and_nobody_learns_who_has_an_account() {
    let authority = Authority::new();
    let server = MailServer::start(&authority);
    let app = site(&server.settings(&authority));
    app.org("acme");
    app.person("ada", "developer", Some("acme")).await;
    assert_eq!(app.call("GET", "/api/system", None, None).await.body["sends_mail"], true);
    let ask = async |email: &str| app.call("POST", "/api/auth/forgot", None, Some(json!({"email": email}))).await;
    let (known, unknown) = (ask("ADA@example.org").await, ask("nobody@example.org").await);
    assert_eq!((known.status, &known.body), (200, &unknown.body));
    let mail = &server.mails_to("ada@example.org", 1).await[0];
    let code = link(mail).split_once("/reset#").unwrap().1.to_owned();
    let reset = json!({"code": code, "password": "another correct horse battery"});
    assert_eq!(app.call("POST", "/api/auth/reset", None, Some(reset.clone())).await.status, 204);
    assert_eq!(app.call("POST", "/api/auth/reset", None, Some(reset)).await.body["code"], "code_refused");
    assert_eq!(server.mails_to("ada@example.org", 2).await[1]["subject"], "Your password was changed");
    for email in ["ada@example.org", "nobody@example.org"] {
        let mut statuses = Vec::new();
        for _ in 0..8 {
            statuses.push(ask(email).await.status);
        }
        assert_eq!((statuses[0], statuses[7]), (200, 429), "{email}: {statuses:?}");
    }
    let trail = app.cli_json(&["audit", "list", "--resource", "user", "--action", "update", "--limit", "50"], "");
    let asked = trail["items"].as_array().unwrap().iter().filter(|entry| entry["actor"]["kind"] == "anonymous").count();
    assert!((2..=6).contains(&asked), "{trail}");
    assert_eq!(server.mails().iter().filter(|mail| mail["recipients"][0] == "nobody@example.org").count(), 0);
    let quiet = App::start();
    let refused = quiet.call("POST", "/api/auth/forgot", None, Some(json!({"email": "ada@example.org"}))).await;
    assert_eq!((refused.status, &refused.body["code"]), (503, &json!("mail_off")));
    assert_eq!(quiet.call("GET", "/api/system", None, None).await.body["sends_mail"], false);
}

#[tokio::test]
async fn another_address_is_told_at_both() {
    let authority = Authority::new();
    let server = MailServer::start(&authority);
    let app = site(&server.settings(&authority));
    app.org("acme");
    app.person("ada", "developer", Some("acme")).await;
    app.cli_json(&["user", "update", "ada", "--email", "lovelace@example.org"], "");
    for address in ["ada@example.org", "lovelace@example.org"] {
        let mail = &server.mails_to(address, 1).await[0];
        assert_eq!(mail["subject"], "The address of your account was changed", "{address}");
    }
    app.cli_json(&["user", "update", "ada", "--email", "Lovelace@example.org"], "");
    assert_eq!(app.sql_texts("SELECT recipient FROM mails").len(), 2);
}

#[tokio::test]
async fn an_administrators_code_is_mailed_when_they_say_so() {
    let authority = Authority::new();
    let server = MailServer::start(&authority);
    let app = site(&server.settings(&authority));
    app.org("acme");
    app.person("ada", "developer", Some("acme")).await;
    assert_eq!(app.cli_json(&["user", "reset-password", "ada"], "")["mailed"], false);
    let made = app.cli_json(&["user", "reset-password", "ada", "--mail"], "");
    assert_eq!(made["mailed"], true);
    let mails = server.mails_to("ada@example.org", 1).await;
    assert!(mails[0]["body"].as_str().unwrap().contains(made["code"].as_str().unwrap()), "{}", mails[0]);
}

#[tokio::test]
async fn one_address_gets_so_many_mails_an_hour() {
    let (authority, port) = (Authority::new(), free_port());
    let app = site(&settings(&authority, port));
    app.org("acme");
    app.person("ada", "developer", Some("acme")).await;
    let mut mailed = Vec::new();
    for _ in 0..22 {
        mailed.push(app.cli_json(&["user", "reset-password", "ada", "--mail"], "")["mailed"] == true);
    }
    assert_eq!(mailed.iter().filter(|mailed| **mailed).count(), 20, "{mailed:?}");
    assert!(mailed[..20].iter().all(|mailed| *mailed));
}

#[tokio::test]
async fn neither_the_log_nor_the_database_holds_what_a_mail_keeps_secret() {
    let (authority, port) = (Authority::new(), free_port());
    let app = site(&with(settings(&authority, port), "LOG_LEVEL", "trace"));
    let org = app.org("acme");
    let root = app.person("root", "admin", None).await;
    let code = invite(&app, &root, org, "ada@example.org").await["code"].as_str().unwrap().to_owned();
    let kept = files(app.dir.path());
    assert!(!kept.is_empty());
    let server = MailServer::start_at(&authority, port);
    server.mails_to("ada@example.org", 1).await;
    listed(&app, "ada@example.org", "sent").await;
    // As AUTH PLAIN sends them.
    let sign_in = base64_of(&format!("\0site\0{MAIL_PASSWORD}"));
    for (name, bytes) in kept.into_iter().chain(files(app.dir.path())) {
        for secret in [code.as_str(), MAIL_PASSWORD, &sign_in] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{name} holds {secret}");
        }
    }
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn files(folder: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let of = |path: std::path::PathBuf| match path.is_dir() {
        true => files(&path),
        false if path.extension().is_some_and(|ending| ending == "sock") => Vec::new(),
        false => std::fs::read(&path).map(|bytes| (path.display().to_string(), bytes)).into_iter().collect(),
    };
    entries.flat_map(|entry| of(entry.path())).collect()
}

#[tokio::test]
async fn erasing_somebody_takes_the_mails_to_them_along() {
    let (authority, port) = (Authority::new(), free_port());
    let app = site(&settings(&authority, port));
    let org = app.org("acme");
    let root = app.person("root", "admin", None).await;
    invite(&app, &root, org, "Ada@example.org").await;
    app.person("ada", "developer", Some("acme")).await;
    app.cli_json(&["user", "reset-password", "ada", "--mail"], "");
    assert_eq!(app.sql_texts("SELECT kind FROM mails ORDER BY id"), ["invitation", "password_reset"]);
    app.cli_json(&["user", "erase", "ada", "--confirm", "ada"], "");
    assert_eq!(app.sql_texts("SELECT kind FROM mails"), [""; 0]);
}
