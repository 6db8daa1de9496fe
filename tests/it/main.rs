//! Through the door: the real binary on a data directory of its own, spoken to by HTTP and by its own commands. With
//! RESOFTAI_TEST_POSTGRES_URL set (tests/postgres.sh), every test runs on PostgreSQL, else on SQLite.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod access;
mod accounts;
mod app;
mod audit;
mod audit_forward;
mod audit_proof;
mod bad_input;
mod binary;
mod cli;
mod cli_models;
mod cli_plugins;
mod database;
mod demo;
mod escalation;
mod factors;
mod files;
mod full_disk;
mod invitations;
mod isolation;
mod mail;
mod mail_server;
mod model_server;
mod models;
mod models_elsewhere;
mod notices;
mod openapi;
mod orgs;
mod pages;
mod patience;
mod plugins;
mod privacy;
mod projects;
mod quotas;
mod roles;
mod runs;
mod runs_elsewhere;
mod sd_notify;
mod service_accounts;
mod specification;
mod streams;
mod teams;
mod tokens;
mod upgrade;
