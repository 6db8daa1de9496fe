//! What rooms rely on when they raise notices, against a real SQLite file.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::base::page::Page;
use crate::db::Options;

const PAGE: Page = Page { limit: 1000, before: i64::MAX };

async fn db(dir: &tempfile::TempDir) -> Db {
    let db = Db::open_sqlite(&dir.path().join("test.db"), Options::default()).await.unwrap();
    let people = "INSERT INTO users (id, username, username_key, email, email_key, password_hash, is_active, created_at) \
         VALUES (1, 'ada', 'ada', 'a@x', 'a@x', '', TRUE, 0), (2, 'bob', 'bob', 'b@x', 'b@x', '', TRUE, 0), \
         (3, 'eve', 'eve', 'e@x', 'e@x', '', FALSE, 0)";
    let org = "INSERT INTO organizations (id, name, slug, tier, created_at) VALUES (7, 'A', 'a', 'free', 0)";
    db.write(move |tx| {
        tx.execute(people, &[])?;
        tx.execute(org, &[])?;
        Ok(())
    })
    .await
    .unwrap();
    db
}

#[tokio::test]
async fn who_has_too_many_loses_the_oldest_read_ones() {
    let dir = tempfile::tempdir().unwrap();
    let db = db(&dir).await;
    let notice = NewNotice::new("test", "x".repeat(5000));
    let kept = db
        .write(move |tx| {
            for at in 0..MOST {
                raise(tx, Time(at), &[UserId(1), UserId(1)], &notice)?;
            }
            let oldest = store::list(tx, UserId(1), PAGE)?.last().unwrap().id;
            let second = store::list(tx, UserId(1), PAGE)?[1].id;
            store::read_one(tx, UserId(1), second, Time(1))?;
            raise(tx, Time(MOST), &[UserId(1)], &notice)?;
            let after_one = store::list(tx, UserId(1), PAGE)?;
            raise(tx, Time(MOST), &[UserId(1)], &notice)?;
            Ok((oldest, second, after_one, store::list(tx, UserId(1), PAGE)?))
        })
        .await
        .unwrap();
    let (oldest, second, after_one, after_two) = kept;
    let has = |list: &[Notice], id: i64| list.iter().any(|notice| notice.id == id);
    assert_eq!((after_one.len() as i64, after_two.len() as i64), (MOST, MOST));
    assert!(!has(&after_one, second) && has(&after_one, oldest), "what was read goes first");
    assert!(!has(&after_two, oldest), "then the oldest");
    assert_eq!(after_two[0].text.len(), TEXT_MAX);
}

#[tokio::test]
async fn administrators_are_told_and_the_sites_where_there_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let db = db(&dir).await;
    let told = db
        .write(|tx| {
            let grant = "INSERT INTO role_grants (id, user_id, role, organization_id, granted_at) VALUES ";
            tx.execute(&format!("{grant} (1, 1, 'super_admin', NULL, 0), (2, 2, 'developer', 7, 0)"), &[])?;
            tx.execute(&format!("{grant} (3, 3, 'org_admin', 7, 0)"), &[])?;
            let notice = NewNotice::new("test", "It happened.").org(OrgId(7)).link("/organizations/7");
            to_admins(tx, Time(1), OrgId(7), &notice)?;
            tx.execute(&format!("{grant} (4, 2, 'org_admin', NULL, 0)"), &[])?;
            tx.execute("UPDATE role_grants SET role = 'org_admin' WHERE id = 2", &[])?;
            to_admins(tx, Time(2), OrgId(7), &notice)?;
            Ok([store::list(tx, UserId(1), PAGE)?, store::list(tx, UserId(2), PAGE)?])
        })
        .await
        .unwrap();
    let custom = db
        .write(|tx| {
            let role = "INSERT INTO roles (id, organization_id, code, name, name_key, description, permissions, \
                        created_at, updated_at) VALUES (9, 7, 'keeper', 'K', 'k', '', '[\"organization.manage\"]', 0, 0)";
            tx.execute(role, &[])?;
            tx.execute("UPDATE role_grants SET role = 'keeper' WHERE id = 2", &[])?;
            let notice = NewNotice::new("test", "It happened.").org(OrgId(7));
            to_admins(tx, Time(3), OrgId(7), &notice)?;
            Ok(store::list(tx, UserId(2), PAGE)?.iter().filter(|notice| notice.created_at == Time(3)).count())
        })
        .await
        .unwrap();
    assert_eq!(custom, 1, "a role of the organisation's own counts for what it allows");
    let times = told.each_ref().map(|list| list.iter().map(|notice| notice.created_at.0).collect::<Vec<_>>());
    assert_eq!(times, [vec![1], vec![2]]);
    assert_eq!((told[0][0].organization_id, told[0][0].link.as_deref()), (Some(7), Some("/organizations/7")));
}
