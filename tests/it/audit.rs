//! The trail as the database keeps it: nobody changes an entry, whatever they ask for.

use crate::app::App;

#[test]
fn the_database_refuses_to_change_the_trail() {
    let app = App::start();
    app.org("acme");
    let before = app.cli_json(&["audit", "list", "--limit", "100"], "");
    let postgres = std::env::var_os("RESOFTAI_TEST_POSTGRES_URL").is_some();
    let columns = "id, at, actor_kind, actor_name, action, resource_type, description, success";
    let replace = format!(
        "REPLACE INTO audit_entries ({columns}) SELECT {} FROM audit_entries",
        columns.replace("actor_name", "'nobody'")
    );
    let mut attempts = vec!["UPDATE audit_entries SET actor_name = 'nobody'", "DELETE FROM audit_entries"];
    attempts.push(if postgres { "TRUNCATE audit_entries" } else { &replace });
    for attempt in attempts {
        let refusal = app.try_sql(attempt).unwrap_err();
        assert!(refusal.contains("audit entries are never"), "{attempt}: {refusal}");
    }
    assert_eq!(app.cli_json(&["audit", "list", "--limit", "100"], ""), before);
}
