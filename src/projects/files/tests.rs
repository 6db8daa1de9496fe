//! Which contents are named.
#![allow(clippy::unwrap_used)]

use crate::db::{Db, Options};

#[tokio::test]
async fn a_content_is_named_while_any_version_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open_sqlite(&dir.path().join("f.db"), Options::default()).await.unwrap();
    let (old, new, other) = (format!("{:a<64}", "9f"), format!("{:b<64}", "9f"), format!("{:c<64}", "a0"));
    let rows = [
        "INSERT INTO organizations (id, name, slug, tier, created_at) VALUES (1, 'A', 'a', 'free', 0)".to_owned(),
        "INSERT INTO projects (id, organization_id, name, requirements, status, created_by, created_at, updated_at) \
         VALUES (2, 1, 'P', '', 'created', 'x', 0, 0)"
            .to_owned(),
        format!(
            "INSERT INTO files (id, project_id, path, path_key, size, version, sha256, created_at, updated_at, \
             updated_by) VALUES (3, 2, 'p', 'p', 1, 2, '{new}', 0, 0, 'x')"
        ),
        format!(
            "INSERT INTO file_versions (file_id, version, sha256, size, created_at, created_by) \
             VALUES (3, 1, '{old}', 1, 0, 'x'), (3, 2, '{new}', 1, 0, 'x'), (3, 3, '{other}', 1, 0, 'x')"
        ),
    ];
    db.write(move |tx| {
        for sql in &rows {
            tx.execute(sql, &[])?;
        }
        Ok(())
    })
    .await
    .unwrap();
    let named = db.read(|tx| Ok(super::store::named(tx, "9f")?)).await.unwrap();
    assert_eq!(named, [old, new].into());
    db.write(|tx| Ok(tx.execute("DELETE FROM files WHERE id = 3", &[])?)).await.unwrap();
    assert!(db.read(|tx| Ok(super::store::named(tx, "9f")?)).await.unwrap().is_empty());
}
