//! The web pages as the server hands them out; what they do is tested in a browser.

use bytes::Bytes;

use crate::app::{App, Reply};

async fn get(app: &App, path: &str, headers: &[(&str, &str)]) -> Reply {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    app.send("GET", path, &headers, Bytes::new()).await
}

fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    reply.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_browser_gets_the_page_at_every_address_that_is_not_the_apis() {
    let app = App::start();
    for path in ["/", "/projects/7/runs/9"] {
        let page = get(&app, path, &[("accept", "text/html,*/*")]).await;
        assert_eq!((page.status, header(&page, "cache-control")), (200, "no-cache"), "run `make ui`: {}", page.body);
        let policy = header(&page, "content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(page.body.as_str().unwrap().contains("<div id=\"app\">"));
        let tag = header(&page, "etag").to_owned();
        assert_eq!(get(&app, path, &[("accept", "text/html"), ("if-none-match", &tag)]).await.status, 304);
    }
    for path in ["/api/nothing", "/v1/nothing", "/nothing.js", "/index.html.gz"] {
        let accept = if path.starts_with("/api") { "text/html" } else { "*/*" };
        let reply = get(&app, path, &[("accept", accept)]).await;
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.body.is_object(), "{path}: {}", reply.body);
    }
    assert_eq!(app.send("POST", "/projects", &[("accept", "text/html".to_owned())], Bytes::new()).await.status, 404);
}

#[tokio::test]
async fn scripts_are_kept_for_ever_and_sent_packed() {
    let app = App::start();
    let page = get(&app, "/", &[("accept", "text/html")]).await.body.as_str().unwrap().to_owned();
    let script = page.split('"').find(|part| part.starts_with("/assets/") && part.ends_with(".js")).unwrap().to_owned();
    let plain = get(&app, &script, &[]).await;
    assert_eq!((plain.status, header(&plain, "content-encoding")), (200, ""));
    assert!(header(&plain, "cache-control").contains("immutable"), "{:?}", plain.headers);
    let packed = get(&app, &script, &[("accept-encoding", "br, gzip")]).await;
    assert_eq!(
        (header(&packed, "content-encoding"), header(&packed, "content-type")),
        ("gzip", "text/javascript; charset=utf-8")
    );
}
