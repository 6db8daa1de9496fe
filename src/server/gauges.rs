//! What is measured of the site itself, for `/metrics`: what ends one day, what fills up, what should have happened by now.
//!
//! Invariant: a gauge of what is not there (no licence, no backup, no mirror) is not there either, so that its absence can be
//! told from a moment in 1970. Times are seconds since then.

use std::path::PathBuf;
use std::time::Duration;

use crate::backup::Backups;
use crate::base::clock::Time;
use crate::base::disk::Disk;
use crate::base::error::Result;
use crate::base::tasks::Tasks;
use crate::licence::Licence;
use crate::mirror::Mirror;

use super::reload::Reload;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(30);

/// Where the figures come from.
pub struct Gauges {
    pub backups: Backups,
    pub licence: Licence,
    pub mirror: Mirror,
    pub reload: Reload,
    pub data_dir: PathBuf,
}

impl Gauges {
    /// Measures now, and again and again until the server stops.
    pub async fn start(self, tasks: &Tasks) {
        metrics::gauge!("build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        self.measure().await;
        tasks.spawn_until_stop(async move {
            loop {
                tokio::time::sleep(PAUSE).await;
                self.measure().await;
            }
        });
    }

    async fn measure(&self) {
        self.disk();
        if let Some(tls) = self.reload.tls() {
            at("certificate_expires_timestamp_seconds", Some(tls.borrow().expires));
        }
        if let Err(error) = self.ask().await {
            tracing::warn!(?error, "the site was not measured; trying again");
        }
    }

    /// What of the database's file and the disk around it can be seen from outside.
    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
    fn disk(&self) {
        if let Ok(disk) = Disk::of(&self.data_dir) {
            metrics::gauge!("disk_free_bytes").set(disk.free as f64);
            metrics::gauge!("disk_size_bytes").set(disk.size as f64);
        }
        if let Ok(file) = std::fs::metadata(self.data_dir.join("resoftai.db")) {
            metrics::gauge!("database_bytes").set(file.len() as f64);
        }
    }

    async fn ask(&self) -> Result<()> {
        let licence = self.licence.standing().await?.licence;
        at("licence_expires_timestamp_seconds", licence.map(|licence| licence.expires_at));
        let backup = self.backups.newest().await?;
        at("backup_taken_timestamp_seconds", backup.as_ref().map(|backup| backup.began_at));
        let proof = backup.and_then(|backup| backup.proof);
        at("backup_proven_timestamp_seconds", proof.filter(crate::backup::Proof::is_whole).map(|proof| proof.at));
        at("mirror_expires_timestamp_seconds", self.mirror.expires().await?);
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn at(name: &'static str, time: Option<Time>) {
    if let Some(time) = time {
        metrics::gauge!(name).set(time.unix_seconds() as f64);
    }
}
