//! What a stranger may send, and the sentence that comes back.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::app::{App, Reply};

#[tokio::test]
async fn each_fault_is_named_by_code_and_field() {
    let app = App::start();
    app.org("acme");
    let admin = app.person("root", "admin", None).await;
    let long = "x".repeat(300);
    let cases: [(&str, Value, &str, &str); 8] = [
        ("/api/organizations", json!({"name": "A", "slug": "a", "color": 1}), "invalid_json", "color"),
        ("/api/organizations", json!({"name": 5, "slug": "a"}), "invalid_json", "name"),
        ("/api/organizations", json!({"name": long, "slug": "a"}), "invalid_name", "name"),
        ("/api/organizations", json!({"name": "A", "slug": "No Slug"}), "invalid_slug", "slug"),
        ("/api/organizations", json!({"name": "A", "slug": "a", "tier": "gold"}), "unknown_tier", "tier"),
        ("/api/projects", json!({"name": "A\u{1}B", "organization_id": 1}), "invalid_name", "name"),
        (
            "/api/users",
            json!({"username": "x", "email": "x@y.z", "password": "0123456789abcdef", "role": "admin"}),
            "invalid_username",
            "username",
        ),
        (
            "/api/users",
            json!({"username": "xx", "email": "x@y.z", "password": "short", "role": "admin"}),
            "password_too_short",
            "password",
        ),
    ];
    for (path, body, code, field) in cases {
        let reply = app.call("POST", path, Some(&admin), Some(body.clone())).await;
        assert_eq!(
            (reply.status, &reply.body["code"], &reply.body["field"]),
            (400, &json!(code), &json!(field)),
            "{body}: {}",
            reply.body
        );
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        assert_eq!(reply.body["request_id"], reply.headers["x-request-id"].to_str().unwrap());
    }
    let taken = app.call("POST", "/api/organizations", Some(&admin), Some(json!({"name": "A", "slug": "acme"}))).await;
    assert_eq!((taken.status, &taken.body["code"]), (409, &json!("slug_taken")));
}

#[tokio::test]
async fn bodies_are_bounded_and_must_be_json() {
    let app = App::start();
    let admin = app.person("root", "admin", None).await;
    let auth = ("authorization", format!("Bearer {admin}"));
    let json_type = ("content-type", "application/json".to_owned());
    let big = Bytes::from(vec![b' '; 2 * 1024 * 1024]);
    let reply = app.send("POST", "/api/projects", &[auth.clone(), json_type.clone()], big).await;
    assert_eq!((reply.status, &reply.body["code"]), (413, &json!("body_too_large")));
    let reply = app
        .send("POST", "/api/projects", &[auth.clone(), json_type], Bytes::from_static(b"{\"name\": \"\xff\"}"))
        .await;
    assert_eq!((reply.status, &reply.body["code"]), (400, &json!("invalid_json")));
    let reply = app.send("POST", "/api/projects", &[auth], Bytes::from_static(b"name=x")).await;
    assert_eq!((reply.status, &reply.body["code"]), (400, &json!("not_json")));
}

#[tokio::test]
async fn a_nul_character_is_refused_at_the_door() {
    let app = App::start();
    let admin = app.person("root", "admin", None).await;
    let login = app.call("POST", "/api/auth/login", None, Some(json!({"username": "a\u{0}b", "password": "x"}))).await;
    let named = |field: &str| (400, json!("nul_character"), json!(field));
    let told = |reply: &Reply| (reply.status, reply.body["code"].clone(), reply.body["field"].clone());
    assert_eq!(told(&login), named("username"), "{}", login.body);
    let listed = app.call("GET", "/api/audit?actor=a%00b", Some(&admin), None).await;
    assert_eq!(told(&listed), named("actor"), "{}", listed.body);
    let spelled = json!({"name": r"the text \u0000", "slug": "spelled"});
    assert_eq!(app.call("POST", "/api/organizations", Some(&admin), Some(spelled)).await.status, 201);
}

#[tokio::test]
async fn a_query_that_does_not_fit_is_named_by_its_parameter() {
    let app = App::start();
    let admin = app.person("root", "admin", None).await;
    for (path, field) in [
        ("/api/projects?organization_id=acme", "organization_id"),
        ("/api/users?limit=abc", "limit"),
        ("/api/audit?limit=5&actr=ada", "actr"),
    ] {
        let reply = app.call("GET", path, Some(&admin), None).await;
        assert_eq!(
            (reply.status, &reply.body["code"], &reply.body["field"]),
            (400, &json!("invalid_query"), &json!(field)),
            "{path}: {}",
            reply.body
        );
    }
}

#[tokio::test]
async fn a_page_of_another_site_cannot_use_the_cookie() {
    let app = App::start();
    let token = app.person("root", "admin", None).await;
    let cookie = ("cookie", format!("resoftai_session={token}"));
    let json_type = ("content-type", "application/json".to_owned());
    let body = || Bytes::from(json!({"name": "A", "slug": "a"}).to_string());
    let foreign = [cookie.clone(), json_type.clone(), ("origin", "https://evil.example".to_owned())];
    let reply = app.send("POST", "/api/organizations", &foreign, body()).await;
    assert_eq!((reply.status, &reply.body["code"]), (403, &json!("cross_site")));
    let own = [cookie, json_type, ("sec-fetch-site", "same-origin".to_owned())];
    assert_eq!(app.send("POST", "/api/organizations", &own, body()).await.status, 201);
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems_too() {
    let app = App::start();
    let reply = app.call("GET", "/api/nothing", None, None).await;
    assert_eq!((reply.status, &reply.body["code"]), (404, &json!("not_found")));
    let reply = app.call("PATCH", "/api/projects", None, None).await;
    assert_eq!((reply.status, &reply.body["code"]), (405, &json!("method_not_allowed")));
    let allowed = reply.headers["allow"].to_str().unwrap();
    assert!(allowed.contains("GET") && allowed.contains("POST") && !allowed.contains("PATCH"), "{allowed}");
}

/// Every operation that takes JSON, with what is none of it.
#[tokio::test]
async fn no_operation_fails_over_what_it_is_sent() {
    let app = App::start();
    app.org("acme");
    let admin = app.person("root", "admin", None).await;
    let project = json!({"name": "Shop", "organization_id": 1});
    let project = app.call("POST", "/api/projects", Some(&admin), Some(project)).await.body["id"].to_string();
    let file = json!({"path": "a.txt", "content": "a"});
    let file = app.call("POST", &format!("/api/projects/{project}/files"), Some(&admin), Some(file)).await;
    let file = file.body["id"].to_string();
    let description = app.call("GET", "/api/openapi.json", None, None).await.body;
    let bodies: [&[u8]; 8] = [
        b"",
        b"{",
        b"[]",
        b"7",
        b"{\"surprise\": 1}",
        b"{\"name\": \"\xff\"}",
        b"{\"name\": \"a\\u0000b\", \"username\": \"a\\u0000b\", \"content\": \"\\u0000\"}",
        b"{\"name\": {}, \"username\": [], \"content\": 5, \"limit_value\": \"many\", \"model\": 1, \"messages\": {}}",
    ];
    let mut walked = 0;
    for (path, operations) in description["paths"].as_object().unwrap() {
        let id = if path.contains("/projects/") {
            &project
        } else if path.contains("/files/") {
            &file
        } else {
            "1"
        };
        let address = path.replace("{id}", id).replace("{user_id}", "1").replace("{resource}", "projects");
        let address = address.replace("{version}", "1").replace("{slug}", "none").replace("{stage}", "testing");
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            let headers =
                [("authorization", format!("Bearer {admin}")), ("content-type", "application/json".to_owned())];
            if operation["requestBody"]["content"]["application/json"].is_object() {
                for body in bodies {
                    let reply = app.send(&method, &address, &headers, Bytes::from_static(body)).await;
                    let told = reply.body["detail"].is_string() || reply.body["error"]["message"].is_string();
                    assert!(
                        (400..500).contains(&reply.status) && told,
                        "{method} {address} {}: {} {}",
                        String::from_utf8_lossy(body),
                        reply.status,
                        reply.body
                    );
                    walked += 1;
                }
            } else if method == "GET" && !path.ends_with("/events") && !path.contains("/download") {
                for query in ["limit=0", "limit=abc", "limit=999999999999", "cursor=abc", "cursor=%00", "surprise=1"] {
                    let reply = app.send("GET", &format!("{address}?{query}"), &headers, Bytes::new()).await;
                    assert!(reply.status < 500 || path == "/readyz", "{address}?{query}: {}", reply.body);
                    walked += 1;
                }
            }
        }
    }
    assert!(walked > 200, "only {walked} calls were made");
}

/// What is announced as too large, or turns out to be, is refused before it is read to its end.
#[tokio::test]
async fn a_body_of_two_gibibytes_is_refused_while_it_is_sent() {
    let app = App::start();
    app.org("acme");
    let token = app.person("ada", "developer", Some("acme")).await;
    let made = app.call("POST", "/api/projects", Some(&token), Some(json!({"name": "Shop"}))).await;
    let path = format!("/api/projects/{}/files", made.body["id"]);
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
    );
    let announced = format!("{head}content-length: 2147483648\r\n\r\n");
    let answer = talk(&app.address, announced.as_bytes(), b"").await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"), "{answer}");
    // The same without saying so, in pieces of 64 KiB.
    let endless = format!("{head}transfer-encoding: chunked\r\n\r\n");
    let mut piece = b"10000\r\n".to_vec();
    piece.resize(piece.len() + 0x10000, b' ');
    piece.extend(b"\r\n");
    let answer = talk(&app.address, endless.as_bytes(), &piece).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"), "{answer}");
    let files = app.call("GET", &path, Some(&token), None).await;
    assert_eq!(files.body["items"], json!([]));
    let kept = std::fs::read_dir(app.dir.path().join("blobs")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(kept.collect::<Vec<_>>(), ["tmp"], "something was left behind");
}

/// Sends `head`, then `piece` again and again until there is an answer; the answer.
pub async fn talk(address: &str, head: &[u8], piece: &[u8]) -> String {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    writing.write_all(head).await.unwrap();
    let sending = async {
        let mut sent = 0;
        while !piece.is_empty() && writing.write_all(piece).await.is_ok() {
            sent += piece.len();
            assert!(sent < 1 << 30, "a gibibyte was taken");
        }
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    let receiving = async {
        let mut part = [0; 4096];
        while !String::from_utf8_lossy(&answer).contains("body_too_large") {
            match reading.read(&mut part).await {
                Ok(0) | Err(_) => break,
                Ok(read) => answer.extend_from_slice(&part[..read]),
            }
        }
    };
    tokio::select! {
        () = sending => {}
        () = receiving => {}
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// No cell of a CSV file begins as a formula does (OWASP, CSV injection), but for numbers.
fn no_formulas(text: &str) -> usize {
    let mut cells = 0;
    for row in csv::Reader::from_reader(text.as_bytes()).records() {
        for cell in &row.unwrap() {
            cells += 1;
            let suspect = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
            assert!(!suspect || cell.parse::<f64>().is_ok(), "a spreadsheet takes {cell:?} for a formula");
        }
    }
    cells
}

#[tokio::test]
async fn no_cell_of_an_export_is_a_formula_whatever_people_call_things() {
    let app = App::start();
    let org = app.org("acme");
    let root = app.person("root", "admin", None).await;
    let dev = app.person("dev", "developer", Some("acme")).await;
    for evil in ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "＝1+1"] {
        let headers = [
            ("authorization", format!("Bearer {dev}")),
            ("content-type", "application/json".to_owned()),
            ("user-agent", evil.chars().filter(char::is_ascii).collect()),
        ];
        let body = json!({"name": evil, "requirements": evil}).to_string();
        let made = app.send("POST", "/api/projects", &headers, body.into()).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let usage = json!({"resource_type": "llm_tokens", "amount": 1, "metadata": {"model": evil}});
        let used = app.call("POST", &format!("/api/organizations/{org}/usage"), Some(&root), Some(usage)).await;
        assert_eq!(used.status, 201, "{}", used.body);
        // A sign-in that fails names nobody, with the name as it was typed.
        let login = json!({"username": evil, "password": "wrong horse battery staple"});
        assert_eq!(app.call("POST", "/api/auth/login", None, Some(login)).await.status, 401);
    }
    let mut addresses = vec!["/api/audit/export?format=csv".to_owned()];
    for by in ["day", "model", "project", "person"] {
        addresses.push(format!("/api/organizations/{org}/usage.csv?group_by={by}"));
    }
    for address in addresses {
        let reply = app.call("GET", &address, Some(&root), None).await;
        assert_eq!(reply.status, 200, "{address}: {}", reply.body);
        assert!(no_formulas(reply.body.as_str().unwrap()) > 0, "{address}");
    }
}
