//! `resoftai serve`.

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::failure::{Failure, Result};
use super::output::Output;
use crate::base::clock::Clock;
use crate::base::telemetry;
use crate::config::{Config, Sources};
use crate::server::{self, Running};

#[derive(Debug, Args)]
pub struct Serve {
    /// Address and port, such as 0.0.0.0:8443.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Plain HTTP, on loopback addresses only.
    #[arg(long)]
    http: bool,
}

impl Serve {
    pub fn run(self, sources: Sources, output: Output) -> Result<()> {
        self.run_with(sources, output, async |_: &Running| Ok(()))
    }

    /// [`Serve::run`], with something to be done once the server answers. When that fails the server stops.
    pub fn run_with(
        self,
        mut sources: Sources,
        output: Output,
        then: impl AsyncFnOnce(&Running) -> Result<()>,
    ) -> Result<()> {
        if let Some(listen) = self.listen {
            sources.flags.push(("server.listen", listen));
        }
        if self.http {
            sources.flags.push(("server.http", "true".to_owned()));
        }
        let config = Config::load(&sources)?;
        server::check(&config)?;
        crate::config::secrets::private_folder(&config.data_dir)?;
        let _logs = telemetry::start_logs(&config.data_dir.join("logs"), &config.log_level)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::from)?;
        runtime.block_on(serve(&config, output, then))
    }
}

async fn serve(config: &Config, output: Output, then: impl AsyncFnOnce(&Running) -> Result<()>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = server::start(config, Clock::system()).await?;
    let address = running.url();
    if output.is_json() {
        output.value(&json!({"address": address, "fingerprint": running.fingerprint, "socket": running.socket}))?;
    } else {
        output.line(&format!("ResoftAI {} answers on {address}", env!("CARGO_PKG_VERSION")))?;
        if let Some(fingerprint) = &running.fingerprint {
            output.line(&format!("Certificate {fingerprint}"))?;
        }
    }
    tracing::info!(address, "ready");
    tell_systemd(&[sd_notify::NotifyState::Ready]);
    let told_to_stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let done = tokio::select! {
        biased;
        done = async { then(&running).await?; std::future::pending().await } => done,
        () = told_to_stop => Ok(()),
    };
    tracing::info!("stopping");
    tell_systemd(&[sd_notify::NotifyState::Stopping]);
    running.stop().await;
    done
}

/// Without systemd there is nobody to tell, which is no fault.
fn tell_systemd(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(cause) = sd_notify::notify(state) {
        tracing::warn!("systemd was not told: {cause}");
    }
}
