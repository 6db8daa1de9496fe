//! Tenants apart: every operation of the API's own description, tried as nobody, as an administrator of another
//! organisation, and as a viewer; at last by those who may, which shows that the bodies were good ones.
//!
//! An operation without a line in `cases.rs` fails the test, so a new one says here whose business it is.

mod cases;
mod site;

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::{Value, json};

use self::cases::Case;
use self::site::{Names, Site, id};
use crate::app::{App, PASSWORD, Reply};
use crate::authenticator::Device;
use crate::model_server::{Answer, ModelServer, PLAIN};

/// Everything of the owner's carries this word, which nobody else uses.
const OURS: &str = "nightingale";

/// Whose business an operation is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Everybody's, also without signing in.
    Public,
    /// Of each who is signed in, about themselves; also what is the site's and shown to all.
    Own,
    /// A list over all of the caller's organisations: a stranger's holds nothing of ours.
    List { viewer: bool },
    /// Shows something of ours: our viewers read it, for strangers it is not there.
    Read,
    /// Changes something of ours, or shows what administrators alone see: forbidden to our viewers, and for strangers it is
    /// not there.
    Write,
    /// Of one person: not there for anybody else.
    Personal,
    /// Draws one of ours into the strangers' organisation: forbidden to viewers, and for strangers they are not there.
    Draw,
    /// The site administrators': forbidden to everybody else.
    Site,
    /// Of whoever brings the secret it asks for, signed in or not; a made-up one is refused.
    Bearer,
    /// Of whoever brings the setup link, as long as the site is new; this one is not.
    Spent,
}

/// What was answered, without what differs from one request to the next.
fn words(reply: &Reply) -> String {
    let request = reply.headers["x-request-id"].to_str().unwrap();
    format!("{} {}", reply.status, reply.body).replace(request, "-")
}

#[tokio::test]
async fn every_operation_is_in_the_table() {
    let app = App::start();
    let names = Names::absent();
    let (token, elsewhere) = (String::new(), names.org);
    let description = app.call("GET", "/api/openapi.json", None, None).await.body;
    let models = ModelServer::start(|_| Answer::json(200, PLAIN));
    let (root, owner, viewer, stranger) = (token.clone(), token.clone(), token.clone(), token);
    let site = Site {
        app,
        root,
        owner,
        viewer,
        stranger,
        elsewhere,
        names: names.clone(),
        factor: Mutex::default(),
        device: Mutex::new((Value::Null, Device::new("https://a.site"))),
        backups: tempfile::tempdir().unwrap(),
        _models: models,
    };
    let cases = site.cases(&names);
    let walked: BTreeSet<String> = cases.iter().map(|case| case.operation.to_owned()).collect();
    let described: BTreeSet<String> = description["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let missing: Vec<_> = described.difference(&walked).collect();
    let gone: Vec<_> = walked.difference(&described).collect();
    assert!(missing.is_empty() && gone.is_empty(), "say in cases.rs whose these are: {missing:?}; gone: {gone:?}");
    let unfilled = cases.iter().find(|case| case.address.contains('{'));
    assert!(unfilled.is_none(), "{}", unfilled.unwrap().address);
}

#[tokio::test]
async fn what_is_ours_is_there_for_nobody_else() {
    let site = Site::new().await;
    let before = site.things().await;
    let (ours, nowhere) = (site.cases(&site.names), site.cases(&Names::absent()));
    assert_ne!(before.iter().filter(|thing| thing.to_string().contains(OURS)).count(), 0);
    for (case, absent) in ours.iter().zip(&nowhere) {
        if case.whose == Whose::Spent {
            assert_eq!(site.call(case, Some(&site.root)).await.status, 403, "{}", case.operation);
            continue;
        }
        if case.whose == Whose::Bearer {
            with_a_made_up_secret(&site, absent).await;
            continue;
        }
        as_nobody(&site, case).await;
        as_stranger(&site, case, absent).await;
        as_viewer(&site, case).await;
    }
    for (was, is) in before.iter().zip(site.things().await) {
        assert_eq!(*was, is, "something was changed");
    }
    let login = json!({"username": site.names.username, "password": PASSWORD});
    assert_eq!(site.app.call("POST", "/api/auth/login", None, Some(login)).await.status, 200);
    for case in &ours {
        by_those_who_may(&site, case).await;
    }
}

async fn with_a_made_up_secret(site: &Site, absent: &Case) {
    // Many of these are passwords: too many wrong ones would have to wait.
    site.app.sql("DELETE FROM sign_in_failures");
    for token in [None, Some(&site.stranger), Some(&site.viewer), Some(&site.owner)] {
        let reply = site.call(absent, token.map(String::as_str)).await;
        let told = format!("{} with a made-up secret: {} {}", absent.operation, reply.status, reply.body);
        assert!((400..=403).contains(&reply.status), "{told}");
    }
}

async fn as_nobody(site: &Site, case: &Case) {
    let reply = site.call(case, None).await;
    let wanted = if case.whose == Whose::Public { 200 } else { 401 };
    assert_eq!(reply.status, wanted, "{} {} as nobody: {}", case.operation, case.address, reply.body);
}

async fn as_stranger(site: &Site, case: &Case, absent: &Case) {
    let reply = site.call(case, Some(&site.stranger)).await;
    let told = format!("{} {} as a stranger: {} {}", case.operation, case.address, reply.status, reply.body);
    match case.whose {
        Whose::Public | Whose::Bearer | Whose::Spent => {}
        Whose::Own | Whose::List { .. } => {
            assert!((200..300).contains(&reply.status), "{told}");
            assert!(!reply.body.to_string().to_lowercase().contains(OURS), "{told}");
        }
        Whose::Read | Whose::Write | Whose::Personal | Whose::Draw => assert_eq!(reply.status, 404, "{told}"),
        Whose::Site => assert_eq!(reply.status, 403, "{told}"),
    }
    if reply.status >= 400 {
        // What is another's is answered as what is not there, to the letter.
        let mut wanted = words(&site.call(absent, Some(&site.stranger)).await);
        for (absent, real) in Names::absent().words().iter().zip(site.names.words()) {
            wanted = wanted.replace(absent, &real);
        }
        assert_eq!(words(&reply), wanted, "{told}");
    }
}

async fn as_viewer(site: &Site, case: &Case) {
    let reply = site.call(case, Some(&site.viewer)).await;
    let told = format!("{} {} as a viewer: {} {}", case.operation, case.address, reply.status, reply.body);
    match case.whose {
        Whose::Spent => {}
        Whose::Public | Whose::Own | Whose::Bearer => assert!((200..300).contains(&reply.status), "{told}"),
        // 101: it is a WebSocket from here on.
        Whose::Read | Whose::List { viewer: true } => assert!(matches!(reply.status, 101 | 200), "{told}"),
        Whose::Personal => assert_eq!(reply.status, 404, "{told}"),
        Whose::Write | Whose::Draw | Whose::Site | Whose::List { viewer: false } => {
            assert_eq!(reply.status, 403, "{told}");
        }
    }
}

async fn by_those_who_may(site: &Site, case: &Case) {
    let token = match case.whose {
        Whose::Public => None,
        Whose::Site => Some(site.root.as_str()),
        _ => Some(site.owner.as_str()),
    };
    let reply = site.call(case, token).await;
    let told = format!("{} {} by who may: {} {}", case.operation, case.address, reply.status, reply.body);
    if case.whose == Whose::Spent {
        assert_eq!(reply.status, 403, "{told}");
    } else if case.whose == Whose::Draw {
        // To our own administrator the other organisation is not there either.
        assert_eq!(reply.status, 404, "{told}");
    } else if site.on_postgres() && case.operation.contains("/api/backup") {
        // This version takes backups of SQLite only.
        assert!(reply.status < 300 || reply.body["code"].as_str().unwrap().starts_with("backup_"), "{told}");
    } else {
        assert!(reply.status == 101 || (200..300).contains(&reply.status), "{told}");
    }
    if case.operation == "POST /api/projects/{id}/runs" {
        // A project is not deleted while a run of it goes on.
        let ended = site.app.call("POST", &format!("/api/runs/{}/cancel", reply.body["id"]), token, None).await;
        assert_eq!(ended.status, 200, "{}", ended.body);
    }
    if case.operation == "POST /api/projects" && reply.body["team_id"].is_i64() {
        // A team is not deleted while it has projects.
        let gone = site.app.call("DELETE", &format!("/api/projects/{}", id(&reply.body)), token, None).await;
        assert_eq!(gone.status, 204, "{}", gone.body);
    }
}
