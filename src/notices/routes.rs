//! Notices over HTTP: each sees their own.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::mails::{self, MailPreference};
use super::{Notice, Notices, store};
use crate::base::error::{Error, Result};
use crate::base::page::PageQuery;
use crate::web::{Json, Oneself, Path, Problem, Query};

impl Notices {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(list))
            .routes(routes!(read_all))
            .routes(routes!(read_one))
            .routes(routes!(preferences, prefer))
            .with_state(self)
    }
}

/// One page of the caller's notices.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct NoticeList {
    /// Unread ones first, the newest first among each.
    items: Vec<Notice>,
    /// Pass as `cursor` for the next page; null at the end.
    next_cursor: Option<String>,
    /// How many are unread, over all pages.
    unread: i64,
}

/// The caller's notices. The local operator has none: they are for people with accounts.
#[utoipa::path(get, path = "/api/notices", tag = "notices", params(PageQuery),
    responses((status = 200, body = NoticeList), (status = "default", response = Problem)))]
async fn list(
    State(notices): State<Notices>,
    Oneself(caller): Oneself,
    Query(query): Query<PageQuery>,
) -> Result<Json<NoticeList>> {
    let page = query.check()?;
    let Some(user) = caller.user else {
        return Ok(Json(NoticeList { items: Vec::new(), next_cursor: None, unread: 0 }));
    };
    let read = notices.db.read(move |tx| Ok((store::list(tx, user, page)?, store::unread(tx, user)?)));
    let (items, unread) = read.await?;
    let list = page.list(items, store::place);
    Ok(Json(NoticeList { items: list.items, next_cursor: list.next_cursor, unread }))
}

/// Mark one of the caller's notices as read.
#[utoipa::path(post, path = "/api/notices/{id}/read", tag = "notices", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
async fn read_one(State(notices): State<Notices>, Oneself(caller): Oneself, Path(id): Path<i64>) -> Result<StatusCode> {
    let user = caller.user.ok_or_else(|| Error::not_found("such notice"))?;
    let now = notices.clock.now();
    if notices.db.write(move |tx| store::read_one(tx, user, id, now)).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Error::not_found("such notice"))
}

/// How many notices were marked.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct ReadNotices {
    read: u64,
}

/// Mark all of the caller's notices as read.
#[utoipa::path(post, path = "/api/notices/read", tag = "notices",
    responses((status = 200, body = ReadNotices), (status = "default", response = Problem)))]
async fn read_all(State(notices): State<Notices>, Oneself(caller): Oneself) -> Result<Json<ReadNotices>> {
    let Some(user) = caller.user else { return Ok(Json(ReadNotices { read: 0 })) };
    let now = notices.clock.now();
    let read = notices.db.write(move |tx| store::read_all(tx, user, now)).await?;
    Ok(Json(ReadNotices { read }))
}

/// Which notices a person gets as mails, too.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NoticePreferences {
    mail: MailPreference,
}

/// Which notices the caller gets as mails, where the site sends mails. What is about the safety of the account is mailed
/// in any case.
#[utoipa::path(get, path = "/api/notices/preferences", tag = "notices",
    responses((status = 200, body = NoticePreferences), (status = "default", response = Problem)))]
async fn preferences(State(notices): State<Notices>, Oneself(caller): Oneself) -> Result<Json<NoticePreferences>> {
    let user = caller.user.ok_or_else(|| Error::not_found("account of yours"))?;
    let mail = notices.db.read(move |tx| store::preference(tx, user)).await?;
    Ok(Json(NoticePreferences { mail }))
}

/// Choose which notices the caller gets as mails.
#[utoipa::path(put, path = "/api/notices/preferences", tag = "notices", request_body = NoticePreferences,
    responses((status = 200, body = NoticePreferences), (status = "default", response = Problem)))]
async fn prefer(
    State(notices): State<Notices>,
    Oneself(caller): Oneself,
    Json(body): Json<NoticePreferences>,
) -> Result<Json<NoticePreferences>> {
    let user = caller.user.ok_or_else(|| Error::not_found("account of yours"))?;
    let (now, mail) = (notices.clock.now(), body.mail);
    notices.db.write(move |tx| mails::prefer(tx, now, &caller, user, mail)).await?;
    Ok(Json(body))
}
