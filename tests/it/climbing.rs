//! Nobody climbs: any sequence of people giving, taking, making and changing roles leaves everybody with what the policy
//! table and the roles they hold say, and no step gave what its actor did not hold at that place.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use resoftai::access::PermissionSet;
use resoftai::access::policy::{self, CATALOGUE, LIFTED};
use serde_json::{Value, json};

use crate::app::{App, Reply};

/// Who takes part, with the role they begin with; the last one begins in a team only.
const PEOPLE: [(&str, &str); 5] =
    [("boss", "org_admin"), ("lead", "team_admin"), ("dev", "developer"), ("eve", "viewer"), ("tim", "team_admin")];
const OWN: [&str; 3] = ["own_one", "own_two", "own_three"];
const BUILT_IN: [&str; 4] = ["org_admin", "team_admin", "developer", "viewer"];

#[derive(Debug, Clone)]
enum Step {
    Give { by: usize, to: usize, role: usize, team: Option<usize> },
    Take { by: usize, pick: usize },
    Place { by: usize, to: usize, role: usize },
    Make { by: usize, role: usize, permissions: u64 },
    Change { by: usize, role: usize, permissions: u64 },
    Delete { by: usize, role: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..PEOPLE.len();
    let role = || 0..BUILT_IN.len() + OWN.len();
    // Few permissions a role, so that some are within what people hold.
    let some = || {
        prop::collection::vec(0..CATALOGUE.len(), 1..4).prop_map(|at| at.iter().fold(0, |bits, at| bits | 1_u64 << at))
    };
    prop_oneof![
        6 => (who(), who(), role(), prop::option::of(0..2_usize))
            .prop_map(|(by, to, role, team)| Step::Give { by, to, role, team }),
        3 => (who(), any::<usize>()).prop_map(|(by, pick)| Step::Take { by, pick }),
        2 => (who(), who(), role()).prop_map(|(by, to, role)| Step::Place { by, to, role }),
        4 => (who(), 0..OWN.len(), some()).prop_map(|(by, role, permissions)| Step::Make { by, role, permissions }),
        4 => (who(), 0..OWN.len(), some()).prop_map(|(by, role, permissions)| Step::Change { by, role, permissions }),
        1 => (who(), 0..OWN.len()).prop_map(|(by, role)| Step::Delete { by, role }),
    ]
}

fn set(bits: u64) -> PermissionSet {
    let codes = CATALOGUE.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, (_, code, _))| *code);
    PermissionSet::parse(codes).unwrap()
}

fn code(role: usize) -> &'static str {
    BUILT_IN.iter().chain(&OWN).nth(role).unwrap()
}

/// A role held: person, role, team.
type Grant = (String, String, Option<i64>);

struct World<'a> {
    app: &'a App,
    tokens: &'a BTreeMap<&'static str, String>,
    org: i64,
    teams: [i64; 2],
    /// The model: who holds what, and what the organisation's own roles allow.
    grants: Vec<Grant>,
    roles: BTreeMap<&'static str, PermissionSet>,
}

impl World<'_> {
    async fn call(&self, by: &str, method: &str, rest: &str, body: Value) -> Reply {
        let body = Some(body).filter(|body| !body.is_null());
        self.app.call(method, &format!("/api/organizations/{}/{rest}", self.org), Some(&self.tokens[by]), body).await
    }

    fn allows(&self, role: &str) -> PermissionSet {
        policy::built_in(role).or_else(|| self.roles.get(role).copied()).unwrap_or_default()
    }

    /// What somebody may at a place, by the model.
    fn holds(&self, who: &str, team: Option<i64>) -> PermissionSet {
        let own = self.grants.iter().filter(|(person, ..)| person == who);
        own.fold(PermissionSet::default(), |sum, (_, role, at)| match (at, team) {
            (None, _) => sum.union(self.allows(role)),
            (Some(at), Some(team)) if *at == team => sum.union(self.allows(role)),
            (Some(_), None) => sum.union(self.allows(role).intersection(LIFTED)),
            // Another team's counts in the organisation, and so in all its teams, as far as it is lifted.
            (Some(_), Some(_)) => sum.union(self.allows(role).intersection(LIFTED)),
        })
    }

    /// The grants there are, with their ids, oldest first.
    async fn there(&self) -> Vec<(i64, Grant)> {
        let list = self.call("root", "GET", "role-assignments?limit=100", Value::Null).await;
        assert_eq!(list.status, 200, "{}", list.body);
        let grant = |item: &Value| {
            let text = |key: &str| item[key].as_str().unwrap().to_owned();
            (item["id"].as_i64().unwrap(), (text("username"), text("role"), item["team_id"].as_i64()))
        };
        let mut grants: Vec<_> = list.body["items"].as_array().unwrap().iter().map(grant).collect();
        grants.sort_unstable();
        grants
    }

    /// Takes a step and changes the model when it was let through; what was more than its actor's.
    async fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Give { by, to, role, team } => {
                let (by, to, role, team) = (PEOPLE[by].0, PEOPLE[to].0, code(role), team.map(|team| self.teams[team]));
                let body = json!({"username": to, "role": role, "team_id": team});
                if self.call(by, "POST", "role-assignments", body).await.status == 201 {
                    prop_assert!(self.holds(by, team).contains(self.allows(role)), "{by} gave {role} at {team:?}");
                    self.grants.push((to.to_owned(), role.to_owned(), team));
                }
            }
            Step::Take { by, pick } => {
                let (there, by) = (self.there().await, PEOPLE[by].0);
                let (id, grant) = there[pick % there.len()].clone();
                if self.call(by, "DELETE", &format!("role-assignments/{id}"), Value::Null).await.status == 204 {
                    let own = grant.0 == by;
                    prop_assert!(own || self.holds(by, grant.2).contains(self.allows(&grant.1)), "{by} took {grant:?}");
                    let at = self.grants.iter().position(|known| *known == grant).unwrap();
                    self.grants.remove(at);
                }
            }
            Step::Place { by, to, role } => {
                let (by, to, role) = (PEOPLE[by].0, PEOPLE[to].0, code(role));
                let reply = self.call(by, "POST", "members", json!({"username": to, "role": role})).await;
                if reply.status < 300 {
                    let held = self.holds(by, None);
                    let wide = |(person, _, team): &&Grant| person == to && team.is_none();
                    let before = self.grants.iter().filter(wide);
                    let moved = before.fold(self.allows(role), |sum, (_, role, _)| sum.union(self.allows(role)));
                    prop_assert!(held.contains(moved), "{by} made {to} a {role}");
                    self.grants.retain(|grant| !wide(&grant));
                    self.grants.push((to.to_owned(), role.to_owned(), None));
                }
            }
            Step::Make { by, role, permissions } => {
                let (by, role, permissions) = (PEOPLE[by].0, OWN[role], set(permissions));
                let body = json!({"code": role, "name": role.replace('_', " "), "permissions": permissions.codes()});
                if self.call(by, "POST", "roles", body).await.status == 201 {
                    prop_assert!(self.holds(by, None).contains(permissions), "{by} made {role}");
                    self.roles.insert(role, permissions);
                }
            }
            Step::Change { by, role, permissions } => {
                let (by, role, permissions) = (PEOPLE[by].0, OWN[role], set(permissions));
                let body = json!({"permissions": permissions.codes()});
                if self.call(by, "PUT", &format!("roles/{role}"), body).await.status == 200 {
                    let both = permissions.union(self.allows(role));
                    prop_assert!(self.holds(by, None).contains(both), "{by} changed {role}");
                    self.roles.insert(role, permissions);
                }
            }
            Step::Delete { by, role } => {
                let (by, role) = (PEOPLE[by].0, OWN[role]);
                if self.call(by, "DELETE", &format!("roles/{role}"), Value::Null).await.status == 204 {
                    prop_assert!(self.holds(by, None).contains(self.allows(role)), "{by} deleted {role}");
                    self.roles.remove(role);
                }
            }
        }
        let there: BTreeSet<Grant> = self.there().await.into_iter().map(|(_, grant)| grant).collect();
        prop_assert_eq!(there, self.grants.iter().cloned().collect::<BTreeSet<_>>());
        Ok(())
    }

    /// Who can do each thing at each place, by the server and by the model.
    async fn compare(&self) -> Result<(), TestCaseError> {
        for team in [None, Some(self.teams[0]), Some(self.teams[1])] {
            for (permission, name, _) in &CATALOGUE {
                let at = team.map_or_else(String::new, |team| format!("&team_id={team}"));
                let rest = format!("permissions/explain?permission={name}&limit=100{at}");
                let reply = self.call("root", "GET", &rest, Value::Null).await;
                prop_assert_eq!(reply.status, 200, "{}", reply.body);
                let able = reply.body["items"].as_array().unwrap().iter().filter_map(|able| able["username"].as_str());
                let able: BTreeSet<&str> = able.filter(|name| *name != "root").collect();
                let people = PEOPLE.iter().map(|(name, _)| *name);
                let model: BTreeSet<&str> = people.filter(|who| self.holds(who, team).has(*permission)).collect();
                prop_assert_eq!(able, model, "{} at {:?}", name, team);
            }
        }
        Ok(())
    }
}

async fn world<'a>(app: &'a App, tokens: &'a BTreeMap<&'static str, String>, name: &str) -> World<'a> {
    let org = app.org(name);
    let mut world = World { app, tokens, org, teams: [0; 2], grants: Vec::new(), roles: BTreeMap::new() };
    for (at, slug) in ["red", "blue"].iter().enumerate() {
        let made = world.call("root", "POST", "teams", json!({"slug": slug, "name": slug})).await;
        assert_eq!(made.status, 201, "{}", made.body);
        world.teams[at] = made.body["id"].as_i64().unwrap();
    }
    for (person, role) in PEOPLE {
        let team = (person == "tim").then_some(world.teams[0]);
        let body = json!({"username": person, "role": role, "team_id": team});
        let given = world.call("root", "POST", "role-assignments", body).await;
        assert_eq!(given.status, 201, "{}", given.body);
        world.grants.push((person.to_owned(), role.to_owned(), team));
    }
    world
}

#[test]
fn no_sequence_of_grants_gives_anybody_more_than_the_policy_table_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let app = App::start();
    let tokens = runtime.block_on(async {
        let mut tokens = BTreeMap::from([("root", app.person("root", "admin", None).await)]);
        app.org("elsewhere");
        for (name, _) in PEOPLE {
            tokens.insert(name, app.person(name, "viewer", Some("elsewhere")).await);
        }
        tokens
    });
    let cases = std::cell::Cell::new(0);
    let config = Config { cases: 5, failure_persistence: None, max_shrink_iters: 30, ..Config::default() };
    let tried = TestRunner::new(config).run(&prop::collection::vec(step(), 20..60), |steps| {
        cases.set(cases.get() + 1);
        runtime.block_on(async {
            let mut world = world(&app, &tokens, &format!("org-{}", cases.get())).await;
            for step in &steps {
                world.take(step).await?;
            }
            world.compare().await
        })
    });
    tried.unwrap();
}
