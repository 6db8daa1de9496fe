//! Templates through the door: offered by plugins, filled in, written into projects whole or not at all.

use serde_json::{Value, json};

use crate::hooks::Site;

const SERVICE: &str = "plugin-sdk/examples/web-service";
const DJANGO: &str = "tests/plugins/realistic/django-template";

async fn files(site: &Site, project: i64) -> Vec<String> {
    let listed = site.call("GET", &format!("/api/projects/{project}/files?limit=100"), None).await;
    let mut paths: Vec<String> =
        listed["items"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect();
    paths.sort();
    paths
}

async fn content(site: &Site, applied: &Value, path: &str) -> String {
    let file = applied["files"].as_array().unwrap().iter().find(|file| file["path"] == path).unwrap();
    let file = site.call("GET", &format!("/api/files/{}", file["file_id"]), None).await;
    file["content"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn templates_are_offered_with_their_variables_and_shown_before_anything_is_written() {
    let site = Site::new(&[SERVICE, DJANGO]).await;
    let listed = site.call("GET", "/api/templates", None).await;
    let slugs: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|one| &one["plugin"]).collect();
    assert_eq!(slugs, ["django-template", "web-service"], "{listed}");

    let shown = site.call("GET", "/api/templates/web-service", None).await;
    assert_eq!(shown["variables"][0]["name"], "name");
    assert_eq!(shown["variables"][0]["required"], true);
    assert_eq!(
        shown["variables"][1],
        json!({"name": "port", "type": "integer", "description": "Where it listens.", "required": false,
            "default": 8080, "choices": []})
    );
    let none = site.call("GET", "/api/templates/django-template", None).await;
    assert_eq!(none["variables"], json!([]), "it tells none");

    let preview = "/api/templates/web-service/preview";
    let body = json!({"variables": {"name": "Seed Shop", "port": "9000", "with_tests": false}});
    let made = site.call("POST", preview, Some(body)).await;
    let paths: Vec<&Value> = made["items"].as_array().unwrap().iter().map(|file| &file["path"]).collect();
    assert_eq!(paths, ["README.md", "src/seed_shop/__init__.py", "src/seed_shop/__main__.py"], "{made}");
    assert!(made["items"][2]["content"].as_str().unwrap().contains("\nPORT = 9000\n"), "{made}");
    let django = site.call("POST", "/api/templates/django-template/preview", Some(json!({}))).await;
    assert_eq!(django["items"][1]["content"], "django~=5.2\n", "{django}");

    for (variables, code, field) in [
        (json!({}), "variable_missing", "variables.name"),
        (json!({"name": "a", "port": "many"}), "invalid_variable", "variables.port"),
        (json!({"name": "a", "greeting": "Moin"}), "invalid_variable", "variables.greeting"),
        (json!({"name": "a", "prot": 1}), "unknown_variable", "variables"),
    ] {
        let refused = site.app.call("POST", preview, Some(&site.token), Some(json!({"variables": variables}))).await;
        assert_eq!((refused.status, &refused.body["code"], &refused.body["field"]), (400, &json!(code), &json!(field)));
    }
    let path = "/api/templates/security-scanner";
    assert_eq!(site.app.call("GET", path, Some(&site.token), None).await.status, 404);

    let off = json!({"enabled": false});
    let path = format!("/api/organizations/{}/plugins/web-service", site.org);
    let boss = site.app.person("boss", "org_admin", Some("acme")).await;
    assert_eq!(site.app.call("PUT", &path, Some(&boss), Some(off)).await.status, 200);
    let gone = site.app.call("POST", preview, Some(&site.token), Some(json!({"variables": {"name": "a"}}))).await;
    assert_eq!(gone.status, 404, "what an organisation keeps from working is not there: {}", gone.body);
    let listed = site.call("GET", "/api/templates", None).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
}

#[tokio::test]
async fn a_template_is_written_into_a_project_whole_or_not_at_all() {
    let site = Site::new(&[SERVICE]).await;
    let project = site.project().await;
    let own = json!({"path": "readme.md", "content": "Mine."});
    let own = site.call("POST", &format!("/api/projects/{project}/files"), Some(own)).await;
    let path = format!("/api/projects/{project}/apply-template");
    let body =
        |overwrite: bool| json!({"plugin": "web-service", "variables": {"name": "Shop"}, "overwrite": overwrite});

    let refused = site.app.call("POST", &path, Some(&site.token), Some(body(false))).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("files_there")), "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains("`readme.md`"), "{}", refused.body);
    assert_eq!(files(&site, project).await, ["readme.md"], "nothing was written");

    let applied = site.call("POST", &path, Some(body(true))).await;
    let outcomes: Vec<&Value> = applied["files"].as_array().unwrap().iter().map(|file| &file["outcome"]).collect();
    assert_eq!(outcomes, ["replaced", "created", "created", "created"], "{applied}");
    assert_eq!(applied["files"][0]["version"], 2);
    assert!(content(&site, &applied, "tests/test_greeting.py").await.contains("from shop import greet"));
    let old = site.call("GET", &format!("/api/files/{}/versions/1", own["id"]), None).await;
    assert_eq!(old["content"], "Mine.", "its versions stay");

    let again = site.call("POST", &path, Some(body(false))).await;
    let unchanged = again["files"].as_array().unwrap().iter().all(|file| file["outcome"] == "unchanged");
    assert!(unchanged, "the same again changes nothing: {again}");

    let trail = site.app.cli_json(&["audit", "list", "--action", "execute"], "");
    let told = trail["items"].as_array().unwrap().iter().any(|entry| {
        entry["description"] == "Applied the template web-service to project Colours: 4 files"
            && entry["actor"]["name"] == "ada"
    });
    assert!(told, "{trail}");
}

#[tokio::test]
async fn a_template_that_breaks_the_quota_of_storage_leaves_nothing() {
    let site = Site::new(&[SERVICE]).await;
    let project = site.project().await;
    site.app.cli_json(&["quota", "set", "--org", "acme", "storage", "500"], "");
    let body = json!({"plugin": "web-service", "variables": {"name": "Shop"}});
    let path = format!("/api/projects/{project}/apply-template");
    let refused = site.app.call("POST", &path, Some(&site.token), Some(body)).await;
    assert_eq!((refused.status, &refused.body["code"]), (429, &json!("quota_exceeded")), "{}", refused.body);
    assert_eq!(files(&site, project).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_command_line_shows_previews_and_applies_templates() {
    let site = Site::new(&[SERVICE]).await;
    let app = &site.app;
    let listed = app.cli_json(&["template", "list"], "");
    assert_eq!(listed["items"][0]["plugin"], "web-service");
    assert_eq!(app.cli_json(&["template", "show", "web-service"], "")["variables"].as_array().unwrap().len(), 4);
    let folder = app.dir.path().join("preview");
    let folder = folder.to_str().unwrap();
    let saved = app.cli_json(&["template", "preview", "web-service", "--set", "name=Shop", "--output", folder], "");
    assert_eq!(saved["files"], 4, "{saved}");
    let main = std::fs::read_to_string(format!("{folder}/src/shop/__main__.py")).unwrap();
    assert!(main.contains("from shop import greet"), "{main}");

    let refused = app.cli(&["project", "create", "--name", "None", "--template", "web-service"], "");
    assert!(!refused.status.success());
    assert_eq!(app.cli_json(&["project", "list"], "")["items"], json!([]), "a wrong template leaves no project");
    let arguments = ["project", "create", "--name", "Shop", "--template", "web-service", "--set", "name=Shop"];
    let project = app.cli_json(&arguments, "")["id"].as_i64().unwrap();
    assert_eq!(files(&site, project).await.len(), 4);
    let id = project.to_string();
    let arguments = ["template", "apply", "web-service", "--project", &id, "--set", "name=Shop", "--set", "port=1"];
    let refused = app.cli(&arguments, "");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("__main__.py"), "{refused:?}");
    let applied = app.cli_json(&[&arguments[..], &["--overwrite"]].concat(), "");
    assert!(content(&site, &applied, "src/shop/__main__.py").await.contains("PORT = 1\n"));
}
