//! Making a run's plan: the platform's own order or a plugin's workflow, its roles given to who plays them here.
//!
//! Invariant: a plan is made once, when the run begins, of what plugins say then. One that nobody can carry out is refused
//! before anything is kept, with what is missing.

use std::collections::HashSet;

use serde::Serialize;
use utoipa::ToSchema;

use super::plan::{Agent, Plan, PlannedStage, Player};
use super::workflow::{AgentRole, Stage};
use super::{COMPLETED, Runs};
use crate::access::OrgId;
use crate::base::error::{Error, Result};
use crate::orgs::settings::ExtraStage;
use crate::plugins::colleagues::{AgentCard, OfferedStage, Workflow};
use crate::projects::path::ProjectPath;

/// A workflow that a run can keep to.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WorkflowView {
    /// What a run is started with: the plugin's slug.
    pub workflow: String,
    /// The name people know it by.
    pub name: String,
    /// The names of its stages, in order.
    pub stages: Vec<String>,
    /// Why it cannot be used; null: it can.
    pub error: Option<String>,
}

impl Runs {
    /// What a new run keeps to: `workflow` by its plugin's slug or its name, with the organisation's extra stages.
    ///
    /// # Errors
    /// `unknown_workflow`, `workflow_failed`, `unknown_role`, `unknown_stage`, `invalid_workflow`.
    pub(super) async fn plan(
        &self,
        org: OrgId,
        workflow: Option<&str>,
        extra: &[ExtraStage],
        skip_ui_design: bool,
    ) -> Result<Plan> {
        if workflow.is_none() && extra.is_empty() {
            return Ok(Plan::built_in(skip_ui_design));
        }
        let offered = match workflow {
            Some(wanted) => Some(self.workflow(org, wanted).await?),
            None => None,
        };
        let agents = self.inner.rooms.plugins.agents(org).await;
        let silent = agents.iter().filter_map(|(slug, card)| Some(format!("{slug}: {}", card.as_ref().err()?)));
        let silent: Vec<String> = silent.collect();
        let cast = Cast { agents: agents.into_iter().filter_map(|(_, card)| card.ok()).collect(), silent };
        cast.plan(offered.as_ref(), extra, skip_ui_design)
    }

    async fn workflow(&self, org: OrgId, wanted: &str) -> Result<Workflow> {
        let there = self.inner.rooms.plugins.workflows(org).await;
        let is_meant = |(slug, workflow): &&(String, Result<Workflow, String>)| {
            slug == wanted || workflow.as_ref().is_ok_and(|workflow| workflow.name == wanted)
        };
        match there.iter().find(is_meant) {
            Some((_, Ok(workflow))) => Ok(workflow.clone()),
            Some((slug, Err(why))) => {
                let sentence = format!("The workflow of the plugin {slug} cannot be used: {why}");
                Err(Error::invalid("workflow_failed", sentence).field("workflow"))
            }
            None => {
                let wanted: String = wanted.escape_debug().take(100).collect();
                let known: Vec<&str> = there.iter().map(|(slug, _)| slug.as_str()).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let sentence = format!(
                    "There is no workflow `{wanted}` in the organisation; there are: {known}. Leave it out for the platform's own, or have the plugin enabled."
                );
                Err(Error::invalid("unknown_workflow", sentence).field("workflow"))
            }
        }
    }

    /// The workflows of plugins that work in `org`.
    pub(super) async fn workflows_in(&self, org: OrgId) -> Vec<WorkflowView> {
        let there = self.inner.rooms.plugins.workflows(org).await;
        let shown = there.into_iter().map(|(slug, workflow)| match workflow {
            Ok(Workflow { name, stages, .. }) => {
                let stages = stages.into_iter().map(|stage| stage.name).collect();
                WorkflowView { workflow: slug, name, stages, error: None }
            }
            Err(why) => WorkflowView { name: slug.clone(), workflow: slug, stages: Vec::new(), error: Some(why) },
        });
        shown.collect()
    }
}

/// Who there is to play roles.
struct Cast {
    agents: Vec<AgentCard>,
    /// Agents that could not say who they are, and why.
    silent: Vec<String>,
}

impl Cast {
    fn plan(&self, offered: Option<&Workflow>, extra: &[ExtraStage], skip_ui_design: bool) -> Result<Plan> {
        let mut plan = match offered {
            Some(offered) => self.of_workflow(offered, skip_ui_design)?,
            None => Plan::built_in(skip_ui_design),
        };
        for extra in extra {
            self.insert(&mut plan, extra)?;
        }
        if plan.is_sound() {
            return Ok(plan);
        }
        let sentence = "Nothing is left of the workflow: all of its stages are left out. Start the run without leaving stages out, or enable the plugins of its roles.";
        Err(Error::invalid("invalid_workflow", sentence).field("workflow"))
    }

    fn of_workflow(&self, offered: &Workflow, skip_ui_design: bool) -> Result<Plan> {
        let mut plan = Plan { workflow: Some(offered.plugin.clone()), stages: Vec::new() };
        for stage in &offered.stages {
            let kind = Stage::meant_by(&stage.name);
            let Some(players) = self.players(offered, stage, kind)? else { continue };
            let skipped = skip_ui_design && kind == Some(Stage::UiDesign);
            let produces = stage.produces.as_deref().map(|path| document(offered, stage, path)).transpose()?;
            add(&mut plan, None, PlannedStage { name: stage.name.clone(), kind, players, produces, skipped });
        }
        Ok(plan)
    }

    /// Whose turns the stage has; None: it is left out, for it may be and nobody plays its role.
    fn players(&self, offered: &Workflow, stage: &OfferedStage, kind: Option<Stage>) -> Result<Option<Vec<Player>>> {
        let Some(role) = &stage.role else {
            let takes = |card: &&AgentCard| card.stages.contains(&stage.name);
            return Ok(Some(match (kind, self.agents.iter().find(takes)) {
                (Some(kind), _) => kind.roles().iter().copied().map(Player::Own).collect(),
                (None, Some(card)) => vec![player(card)],
                (None, None) => vec![Player::Own(AgentRole::Developer)],
            }));
        };
        match self.player(role) {
            Some(player) => Ok(Some(vec![player])),
            None if stage.optional => Ok(None),
            None => {
                let who =
                    format!("The workflow {} wants the role `{role}` in its stage {}", offered.plugin, stage.name);
                Err(self.nobody(&who).field("workflow"))
            }
        }
    }

    fn player(&self, role: &str) -> Option<Player> {
        if let Some(own) = AgentRole::from_code(role) {
            return Some(Player::Own(own));
        }
        let plays = |card: &&AgentCard| card.role == role || card.plugin == role;
        self.agents.iter().find(plays).map(player)
    }

    fn nobody(&self, who: &str) -> Error {
        let roles: Vec<&str> = self.agents.iter().map(|card| card.role.as_str()).collect();
        let own = AgentRole::ALL.map(AgentRole::code).join(", ");
        let others = if roles.is_empty() { String::new() } else { format!(", {}", roles.join(", ")) };
        let silent = self.silent.iter().map(|why| format!(" {why}")).collect::<String>();
        let sentence = format!(
            "{who}, and nobody in the organisation plays it; there are: {own}{others}. Have the plugin that brings it enabled.{silent}"
        );
        Error::invalid("unknown_role", sentence)
    }

    /// Adds a stage that the organisation wants in every run.
    fn insert(&self, plan: &mut Plan, extra: &ExtraStage) -> Result<()> {
        let ExtraStage { after, role } = extra;
        let kind = Stage::meant_by(after);
        let is_meant = |stage: &PlannedStage| stage.name == *after || (kind.is_some() && stage.kind == kind);
        let Some(place) = plan.stages.iter().rposition(is_meant) else {
            // A workflow of a plugin need not have it.
            if plan.workflow.is_some() {
                return Ok(());
            }
            let known = Stage::ALL.map(Stage::code).join(", ");
            let sentence = format!(
                "The organisation's setting extra_stages wants a stage after `{after}`, which is none; there are: {known}. An administrator mends it."
            );
            return Err(Error::invalid("unknown_stage", sentence));
        };
        let who = format!("The organisation's setting extra_stages wants the role `{role}` after the stage {after}");
        let player = self.player(role).ok_or_else(|| self.nobody(&who))?;
        let stage =
            PlannedStage { name: role.clone(), kind: None, players: vec![player], produces: None, skipped: false };
        add(plan, Some(place + 1), stage);
        Ok(())
    }
}

fn player(card: &AgentCard) -> Player {
    // The platform's own roles stay its own: an agent of such a role is known by its plugin.
    let role = if AgentRole::from_code(&card.role).is_some() { &card.plugin } else { &card.role };
    Player::Plugin(Agent {
        role: role.clone(),
        plugin: card.plugin.clone(),
        system_prompt: card.system_prompt.clone(),
        works_by: card.works_by.clone(),
    })
}

/// Puts a stage into the plan under a name of its own, with a document of its own where the role has none for it.
fn add(plan: &mut Plan, place: Option<usize>, mut stage: PlannedStage) {
    let taken: HashSet<&str> = plan.stages.iter().map(|stage| stage.name.as_str()).chain([COMPLETED]).collect();
    let own = stage.name.clone();
    let mut count = 2;
    while taken.contains(stage.name.as_str()) {
        stage.name = format!("{own}_{count}");
        count += 1;
    }
    let place = place.unwrap_or(plan.stages.len());
    if stage.produces.is_none() && !writes_as_usual(&stage) {
        stage.produces = Some(file_of(&stage.name, place));
    }
    plan.stages.insert(place, stage);
}

fn writes_as_usual(stage: &PlannedStage) -> bool {
    stage.players.iter().all(|player| match player {
        Player::Own(AgentRole::Developer | AgentRole::TestEngineer) => true,
        Player::Own(role) => stage.kind == Some(role.home()),
        Player::Plugin(_) => false,
    })
}

/// Where the document of a stage lies whose role has no place for it.
fn file_of(name: &str, place: usize) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let words: Vec<&str> = plain.split('-').filter(|word| !word.is_empty()).collect();
    if words.is_empty() { format!("stages/stage-{}.md", place + 1) } else { format!("stages/{}.md", words.join("-")) }
}

fn document(offered: &Workflow, stage: &OfferedStage, path: &str) -> Result<String> {
    let parsed = ProjectPath::parse(path).map_err(|why| {
        let sentence = format!("The stage {} of the workflow {} produces no file: {why}", stage.name, offered.plugin);
        Error::invalid("invalid_workflow", sentence).field("workflow")
    })?;
    Ok(parsed.as_str().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn card(plugin: &str, role: &str, stage: &str) -> AgentCard {
        let [plugin, role, name, stage] = [plugin, role, plugin, stage].map(str::to_owned);
        AgentCard { plugin, role, name, system_prompt: "Work.".to_owned(), stages: vec![stage], works_by: None }
    }

    fn cast() -> Cast {
        let agents = vec![card("api-maker", "api_designer", "api"), card("second", "architect", "look")];
        Cast { agents, silent: Vec::new() }
    }

    fn workflow(stages: &[(&str, Option<&str>, bool)]) -> Workflow {
        let stage = |&(name, role, optional): &(&str, Option<&str>, bool)| OfferedStage {
            name: name.to_owned(),
            role: role.map(str::to_owned),
            produces: None,
            optional,
        };
        Workflow { plugin: "w".to_owned(), name: "W".to_owned(), stages: stages.iter().map(stage).collect() }
    }

    /// Each stage with its roles and its document.
    fn told(plan: &Plan) -> Vec<String> {
        let stage = |stage: &PlannedStage| {
            let roles: Vec<&str> = stage.players.iter().map(Player::role).collect();
            format!("{} {} {}", stage.name, roles.join("+"), stage.produces.as_deref().unwrap_or("-"))
        };
        plan.stages.iter().map(stage).collect()
    }

    #[test]
    fn a_workflow_gets_roles_names_and_documents() {
        let offered = workflow(&[
            ("requirements_analysis", None, false),
            ("api", None, false),
            ("Über uns", Some("quality_expert"), false),
            ("development", None, false),
            ("deploy", None, false),
            ("development", None, false),
            ("completed", Some("second"), false),
            ("sign", Some("nobody"), true),
        ]);
        let plan = cast().plan(Some(&offered), &[], false).unwrap();
        assert_eq!(
            told(&plan),
            [
                "requirements_analysis project_manager+requirements_analyst -",
                "api api_designer stages/api.md",
                "Über uns quality_expert stages/ber-uns.md",
                "development developer -",
                "deploy developer -",
                "development_2 developer -",
                "completed_2 second stages/completed-2.md",
            ]
        );
        assert_eq!(plan.stages[5].kind, Some(Stage::Development));
    }

    #[test]
    fn what_nobody_can_do_is_refused_with_what_there_is() {
        let told = cast().plan(Some(&workflow(&[("sign", Some("notary"), false)])), &[], false).unwrap_err();
        assert_eq!(told.code(), "unknown_role");
        assert!(told.to_string().contains("`notary`") && told.to_string().contains("api_designer"), "{told}");
        let nothing = cast().plan(Some(&workflow(&[("sign", Some("notary"), true)])), &[], false).unwrap_err();
        assert_eq!(nothing.code(), "invalid_workflow");
        let mut offered = workflow(&[("plan", None, false)]);
        offered.stages[0].produces = Some("../x".to_owned());
        assert_eq!(cast().plan(Some(&offered), &[], false).unwrap_err().code(), "invalid_workflow");
    }

    #[test]
    fn an_organisation_adds_stages_to_every_run() {
        let extra = |after: &str, role: &str| ExtraStage { after: after.to_owned(), role: role.to_owned() };
        let plan = cast().plan(None, &[extra("ui_ux_design", "api_designer")], true).unwrap();
        assert_eq!(told(&plan)[3], "api_designer api_designer stages/api-designer.md");
        assert_eq!((plan.workflow.is_none(), plan.stages.len()), (true, 7));
        let offered = workflow(&[("plan", None, false)]);
        assert_eq!(cast().plan(Some(&offered), &[extra("testing", "architect")], false).unwrap().stages.len(), 1);
        assert_eq!(cast().plan(None, &[extra("lunch", "architect")], false).unwrap_err().code(), "unknown_stage");
        assert_eq!(cast().plan(None, &[extra("testing", "cook")], false).unwrap_err().code(), "unknown_role");
    }
}
