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
