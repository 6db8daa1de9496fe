//! Agents and workflows of plugins at work in runs.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::hooks::Site;

const EXAMPLES: [&str; 2] = ["plugin-sdk/examples/api-designer", "plugin-sdk/examples/api-first"];

/// Starts a run and has it wait before its second turn; its id and its project.
async fn paused(site: &Site, body: Value) -> (i64, i64) {
    let project = site.project().await;
    let run = site.call("POST", &format!("/api/projects/{project}/runs"), Some(body)).await;
    let id = run["id"].as_i64().unwrap();
    site.call("POST", &format!("/api/runs/{id}/pause"), None).await;
    (id, project)
}

async fn activate(site: &Site, slug: &str, body: Value) {
    let path = format!("/api/organizations/{}/plugins/{slug}", site.org);
    let reply = site.app.call("PUT", &path, Some(&site.admin), Some(body)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

async fn content(site: &Site, project: i64, path: &str) -> Option<String> {
    let files = site.call("GET", &format!("/api/projects/{project}/files?limit=100"), None).await;
    let file = files["items"].as_array().unwrap().iter().find(|file| file["path"] == path)?;
    let file = site.call("GET", &format!("/api/files/{}", file["id"]), None).await;
    Some(file["content"].as_str().unwrap().to_owned())
}

fn stage<'a>(run: &'a Value, name: &str) -> &'a Value {
    run["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == name).unwrap()
}

/// Installs an agent with the role `critic` and this in its class.
async fn critic(site: &Site, slug: &str, class: &str) {
    let folder = site.app.dir.path().join("plugins").join(slug);
    fs::create_dir_all(&folder).unwrap();
    let manifest = json!({"name": slug, "slug": slug, "version": "1.0.0", "category": "agent",
        "entry_point": "main.py:P"});
    fs::write(folder.join("plugin.json"), manifest.to_string()).unwrap();
    let life = ["load(self, context)", "activate(self)", "deactivate(self)", "unload(self)"];
    let life: String = life.iter().map(|head| format!("    def {head}: return True\n")).collect();
    let main = format!(
        "from resoftai.core.agent import Agent\nfrom resoftai.plugins.base import AgentPlugin\n\n\
         class Critic(Agent):\n    name = 'Critic'\n    system_prompt = 'You criticise.'\n{class}\n\n\
         class P(AgentPlugin):\n{life}    def get_agent_class(self): return Critic\n    \
         def get_agent_role(self): return 'critic'\n"
    );
    fs::write(folder.join("main.py"), main).unwrap();
    let made = site.app.call("POST", "/api/plugins/install", Some(&site.admin), Some(json!({"slug": slug}))).await;
    assert_eq!(made.status, 201, "{}", made.body);
}

async fn extra_stage(site: &Site, after: &str, role: &str) {
    let path = format!("/api/organizations/{}/settings", site.org);
    let body = json!({"settings": {"extra_stages": [{"after": after, "role": role}]}});
    let reply = site.app.call("PUT", &path, Some(&site.admin), Some(body)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

#[tokio::test]
async fn a_run_keeps_to_a_plugins_workflow_and_its_agent_does_a_stage() {
    let site = Site::new(&EXAMPLES).await;
    activate(&site, "api-designer", json!({"enabled": true, "granted": "all"})).await;
    let project = site.project().await;
    let path = format!("/api/projects/{project}");
    let there = site.call("GET", &format!("{path}/workflows"), None).await;
    let stages = json!(["requirement_analysis", "api_design", "api_review", "development", "testing"]);
    let first = json!({"workflow": "api-first", "name": "API first", "stages": stages, "error": null});
    assert_eq!(there["items"], json!([first]));
    let before = site.call("GET", &format!("/api/organizations/{}/workflows", site.org), None).await;
    assert_eq!(before, there, "a project that is yet to be made can keep to the same");

    let wrong = json!({"workflow": "waterfall"});
    let refused = site.app.call("POST", &format!("{path}/runs"), Some(&site.token), Some(wrong)).await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!("unknown_workflow")), "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains("api-first"), "{}", refused.body);

    let run = site.call("POST", &format!("{path}/runs"), Some(json!({"workflow": "API first"}))).await;
    assert_eq!(run["workflow"], "api-first");
    let run = site.ended(&run).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    let names: Vec<&Value> = run["stages"].as_array().unwrap().iter().map(|stage| &stage["stage"]).collect();
    assert_eq!(json!(names), stages);
    assert!(run["stages"].as_array().unwrap().iter().all(|stage| stage["status"] == "done"), "{run:#}");
    let design = stage(&run, "api_design");
    assert_eq!((&design["role"], &design["summary"]), (&json!("api_designer"), &json!("Designed the API.")));
    assert!(design["tokens"].as_i64().unwrap() > 0, "what its agent asks of models counts in the run: {run:#}");
    let page = content(&site, project, "docs/api.md").await.unwrap();
    assert!(page.starts_with("# API of Colours\n"), "{page}");
    assert!(content(&site, project, "docs/api-review.md").await.is_some());
    assert!(content(&site, project, "src/colours.txt").await.is_some());
    let asked: Vec<String> = site.server.requests().iter().map(|request| request.body.to_string()).collect();
    assert!(asked.iter().any(|body| body.contains("Do the stage api review of the project now")), "{asked:#?}");
    let developer = asked.iter().find(|body| body.contains("You are the developer")).unwrap();
    assert!(developer.contains("# File docs/api.md"), "the developer reads the design: {developer}");
    // What an agent asks of models is settled in batches, behind its answers.
    let started = Instant::now();
    loop {
        let quotas = site.app.cli_json(&["quota", "show", "--org", "acme"], "");
        let tokens =
            quotas["items"].as_array().unwrap().iter().find(|quota| quota["resource"] == "llm_tokens").unwrap();
        if tokens["used"].as_i64() >= run["tokens_used"].as_i64() {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{tokens} {run:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_run_keeps_its_plan_when_plugins_are_gone_and_ends_with_the_reason_or_goes_on() {
    let site = Site::new(&EXAMPLES).await;
    activate(&site, "api-designer", json!({"enabled": true, "granted": "all"})).await;
    let (id, project) = paused(&site, json!({"workflow": "api-first"})).await;
    activate(&site, "api-first", json!({"enabled": false})).await;
    activate(&site, "api-designer", json!({"enabled": false})).await;
    let run = site.call("POST", &format!("/api/runs/{id}/resume"), None).await;
    let run = site.ended(&run).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("agent_gone")), "{run:#}");
    assert_eq!((&run["stage"], &run["workflow"]), (&json!("api_design"), &json!("api-first")));
    assert_eq!(stage(&run, "requirement_analysis")["status"], "done");

    activate(&site, "api-designer", json!({"enabled": true})).await;
    let again = site.call("POST", &format!("/api/runs/{id}/stages/api_design/retry"), None).await;
    let run = site.ended(&again).await;
    assert_eq!(run["status"], "completed", "its workflow's plugin is gone, and its plan is its own: {run:#}");
    assert!(content(&site, project, "docs/api.md").await.is_some());
    let path = format!("/api/runs/{id}/stages/ui_design/retry");
    let other = site.app.call("POST", &path, Some(&site.token), None).await;
    assert_eq!((other.status, other.body["code"].as_str()), (404, Some("not_found")), "{}", other.body);
}

#[tokio::test]
async fn an_agent_that_fails_ends_the_run_with_its_own_words() {
    let site = Site::new(&[]).await;
    let work = "    def process_request(self, request, context=None): raise ValueError('out of ideas')";
    critic(&site, "harsh", work).await;
    extra_stage(&site, "requirement_analysis", "critic").await;
    let project = site.project().await;
    let run = site.call("POST", &format!("/api/projects/{project}/runs"), Some(json!({}))).await;
    assert_eq!((run["stages"].as_array().unwrap().len(), &run["workflow"]), (7, &Value::Null));
    let id = run["id"].as_i64().unwrap();
    let run = site.ended(&run).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("agent_failed")), "{run:#}");
    assert!(run["error"]["detail"].as_str().unwrap().contains("out of ideas"), "{run:#}");
    assert_eq!(stage(&run, "critic")["status"], "failed");
    let again = site.call("POST", &format!("/api/runs/{id}/stages/critic/retry"), None).await;
    assert_eq!((&again["status"], &stage(&again, "critic")["status"]), (&json!("queued"), &json!("pending")));
    assert_eq!(site.ended(&again).await["error"]["code"], "agent_failed");
}

#[tokio::test]
async fn an_agent_without_work_of_its_own_lends_the_model_its_prompt() {
    let site = Site::new(&[]).await;
    critic(&site, "mild", "").await;
    extra_stage(&site, "requirement_analysis", "critic").await;
    let project = site.project().await;
    let run = site.call("POST", &format!("/api/projects/{project}/runs"), Some(json!({"skip_ui_design": true}))).await;
    let run = site.ended(&run).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    assert!(content(&site, project, "stages/critic.md").await.is_some());
    let requests = site.server.requests();
    let system = |body: &Value| body["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
    assert!(requests.iter().any(|request| system(&request.body).starts_with("You criticise.\n")));

    extra_stage(&site, "requirement_analysis", "cook").await;
    let path = format!("/api/projects/{project}/runs");
    let refused = site.app.call("POST", &path, Some(&site.token), Some(json!({}))).await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!("unknown_role")), "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains("critic"), "{}", refused.body);
}
