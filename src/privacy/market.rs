//! The annotations of the marketplace's tables, for [`super::tables`].

use super::inventory::{Class, Rows, Table};
use super::purposes::{AUTHOR, OPINION};
use super::tables::{about, nobody, plain, work};

pub const INSTALLS: Table =
    nobody("plugin_installs", "That a plugin was installed, by nobody in particular", &[plain("id slug installed_at")]);
pub const PACKAGES: Table = nobody(
    "market_packages",
    "What a package of the marketplace says of itself",
    &[plain("slug version source sha256 length fault facts mark listed_at")],
);
pub const PLUGINS: Table = nobody(
    "market_plugins",
    "A plugin as the marketplace lists it",
    &[plain("slug source version name description author category tags icon listed_at updated_at")],
);
pub const WORDS: Table = nobody("market_words", "A word that a plugin is found by", &[plain("word slug weight")]);
pub const COLLECTIONS: Table = nobody(
    "market_collections",
    "A list of plugins",
    &[plain("id organization_id plugins created_at updated_at"), work("name name_key description")],
);
pub const UPDATE_POLICIES: Table =
    nobody("plugin_update_policies", "How far a plugin is brought up to date by itself", &[plain("plugin_id policy")]);
pub const UPDATE_WINDOW: Table =
    nobody("plugin_update_window", "When plugins are updated by themselves", &[plain("slot plan looked_at")]);
pub const UPDATE_DECISIONS: Table = nobody(
    "plugin_update_decisions",
    "What was said of a version of a plugin",
    &[plain("plugin_id version sha256 decision reason")],
);
pub const UPDATE_TRIALS: Table = nobody(
    "plugin_update_trials",
    "A version of a plugin that is being proven",
    &[plain("plugin_id lead from_version to_version sha256 began_at")],
);
pub const UPDATE_HISTORY: Table = nobody(
    "plugin_update_history",
    "What came of an update of a plugin",
    &[plain("id slug from_version to_version outcome reason by_hand at")],
);
pub const SUBMISSIONS: Table = Table {
    name: "market_submissions",
    holds: "A plugin that somebody handed in for the marketplace",
    rows: Rows::Number("submitted_by"),
    deleted: false,
    key: &["id"],
    groups: &[
        plain("id slug version name sha256 length category tags checks status"),
        about("submitted_by", Class::Number, &AUTHOR),
        about("reason", Class::Mention, &AUTHOR),
        about("decided_by", Class::Number, &AUTHOR),
        plain("submitted_at decided_at"),
    ],
};
pub const VOTES: Table = Table {
    name: "market_votes",
    holds: "That somebody found a review helpful",
    rows: Rows::Number("user_id"),
    deleted: true,
    key: &["review_id", "user_id"],
    groups: &[
        plain("review_id"),
        about("user_id", Class::Number, &OPINION),
        about("voted_at", Class::Personal, &OPINION),
    ],
};
pub const REVIEWS: Table = Table {
    name: "market_reviews",
    holds: "What somebody says of a plugin",
    rows: Rows::Number("user_id"),
    deleted: true,
    key: &["id"],
    groups: &[
        plain("id slug version"),
        about("user_id", Class::Number, &OPINION),
        about("rating created_at updated_at", Class::Personal, &OPINION),
        about("text", Class::Mention, &OPINION),
    ],
};
