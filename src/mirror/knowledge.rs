//! What scans of plugins go by: the advisories and rules that came with the mirror.
//!
//! Invariant: they are read again whenever the mirror lists others, so a scan always goes by what is there now.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{Content, Mirror, store};
use crate::base::error::{Error, Result};
use crate::blobs::Blobs;
use crate::db::Db;
use crate::scan::advisories::{self, Advisories};
use crate::scan::rules::{self, Rules};
use crate::scan::{Known, Source};

/// What rules for scans are called in a repository; they travel with the advisories.
const RULES: &str = "advisories/plugin-scan-rules.toml";

struct Knowledge {
    db: Db,
    blobs: Blobs,
    /// What was read last, and what of.
    read: Mutex<Option<(Vec<Content>, Known)>>,
}

impl Mirror {
    /// For scans. It holds nothing of plugins.
    pub fn knowledge(&self) -> Arc<dyn Source> {
        Arc::new(Knowledge { db: self.inner.db.clone(), blobs: self.inner.blobs.clone(), read: Mutex::default() })
    }
}

#[async_trait]
impl Source for Knowledge {
    async fn known(&self) -> Result<Known> {
        let listed = self.db.read(store::for_scans).await?;
        let mut read = self.read.lock().await;
        if let Some((of, known)) = read.as_ref()
            && *of == listed
        {
            return Ok(known.clone());
        }
        let known = self.read(&listed).await?;
        *read = Some((listed, known.clone()));
        Ok(known)
    }
}

impl Knowledge {
    async fn read(&self, listed: &[Content]) -> Result<Known> {
        let mut known = Known::default();
        let mut advisories = Advisories::default();
        for content in listed {
            let is_rules = content.name == RULES;
            let most = if is_rules { rules::MAX_BYTES } else { advisories::MAX_BYTES };
            let bytes = match self.blobs.get(&content.sha256, most).await {
                Ok(bytes) => bytes,
                Err(error) => {
                    tracing::error!("{} of the mirror cannot be used for scans: {error}", content.name);
                    advisories.leave_out();
                    continue;
                }
            };
            if !is_rules {
                let add = move || {
                    advisories.add(&bytes);
                    advisories
                };
                advisories = tokio::task::spawn_blocking(add).await.map_err(Error::internal)?;
                continue;
            }
            match Rules::parse(&bytes) {
                Ok(rules) if rules.version > known.rules.version => known.rules = Arc::new(rules),
                Ok(rules) => tracing::info!("the rules {} of the mirror are older than those in force", rules.version),
                Err(error) => tracing::error!("{error}"),
            }
        }
        known.advisories = Arc::new(advisories);
        Ok(known)
    }
}
