//! `resoftai serve`.

use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::Context;
use super::failure::{Failure, Result};
use super::output::Output;
use crate::base::clock::Clock;
use crate::base::telemetry;
use crate::config::{Config, Sources};
use crate::server::{self, Running, tell_systemd};

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
        // A site that makes accounts of its own, as the demo does, shows no link.
        self.run_with(sources, output, async |running: &Running| match &running.setup {
            Some(setup) if !output.is_json() => output.line(&format!("Set up {setup}")),
            _ => Ok(()),
        })
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
    let mut hangup = signal(SignalKind::hangup())?;
    let running = server::start(config, Clock::system()).await?;
    let address = running.url();
    if output.is_json() {
        output.value(&json!({"address": address, "fingerprint": running.fingerprint, "socket": running.socket,
            "setup": running.setup}))?;
    } else {
        output.line(&format!("ResoftAI {} answers on {address}", env!("CARGO_PKG_VERSION")))?;
        if let Some(fingerprint) = &running.fingerprint {
            output.line(&format!("Certificate {fingerprint}"))?;
        }
    }
    tracing::info!(address, "ready");
    tell_systemd(&[sd_notify::NotifyState::Ready]);
    running.watch();
    let told_to_stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let reloading = async {
        while hangup.recv().await.is_some() {
            tell_systemd(&[sd_notify::NotifyState::Reloading]);
            match running.reload().await {
                Ok(reloaded) => tracing::info!(?reloaded, "the configuration was read again"),
                Err(error) => tracing::error!(?error, "the configuration was not taken; the server goes on as it was"),
            }
            tell_systemd(&[sd_notify::NotifyState::Ready]);
        }
    };
    let done = tokio::select! {
        biased;
        () = reloading => Ok(()),
        done = async { then(&running).await?; std::future::pending().await } => done,
        () = told_to_stop => Ok(()),
    };
    tracing::info!("stopping");
    tell_systemd(&[sd_notify::NotifyState::Stopping]);
    running.stop().await;
    done
}

/// `resoftai reload`.
pub async fn reload(context: &Context) -> Result<()> {
    let reloaded = context.client.post("/api/system/reload", &Value::Null).await?;
    let names = |field: &str| {
        let names = reloaded[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        names.collect::<Vec<_>>().join(", ")
    };
    let (changed, waiting) = (names("changed"), names("needs_restart"));
    let mut sentence = if changed.is_empty() {
        "Nothing changed that counts at once.".to_owned()
    } else {
        format!("Took in {changed}.")
    };
    if !waiting.is_empty() {
        sentence.push_str(&format!(" After the next start: {waiting}."));
    }
    context.out.done(&reloaded, &sentence)
}
