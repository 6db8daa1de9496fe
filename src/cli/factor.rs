//! `resoftai user factor`: the caller's own second factor; and `user reset-factor`, somebody else's.

use clap::Subcommand;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::{Value, json};

use crate::cli::failure::Result;
use crate::cli::{Context, input, lookup};

#[derive(Debug, Subcommand)]
pub enum FactorCommand {
    /// Show whether signing in asks for a code, and how many recovery codes are left.
    Show,
    /// Begin to set up an authenticator app: shows its secret once, as a QR code too.
    Start {
        /// Read your password from the first line of stdin.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Switch it on with a code of the app. The recovery codes are shown once.
    Finish {
        /// Six digits of the app (asked for when absent; each counts once).
        code: Option<String>,
    },
    /// Make new recovery codes; those made before count no more.
    Codes {
        /// Read your password and a code from the first two lines of stdin.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Turn it off.
    Off {
        /// Read your password and a code from the first two lines of stdin.
        #[arg(long)]
        password_stdin: bool,
    },
}

pub async fn run(command: &FactorCommand, context: &Context) -> Result<()> {
    let (client, out) = (&context.client, context.out);
    match command {
        FactorCommand::Show => {
            let state = client.get("/api/account/second-factor").await?;
            let fields = [("on", "enabled"), ("since", "enabled_at"), ("recovery codes left", "recovery_codes_left")];
            out.item(&state, &fields)
        }
        FactorCommand::Start { password_stdin } => {
            let password = input::password(*password_stdin, "Password", false)?;
            let begun = client.post("/api/account/second-factor/start", &json!({"password": password})).await?;
            if out.is_json() {
                return out.value(&begun);
            }
            show_secret(&begun, context)
        }
        FactorCommand::Finish { code } => {
            let code = match code {
                Some(code) => code.clone(),
                None => input::ask("Code of the app", "CODE")?,
            };
            codes(&client.post("/api/account/second-factor/finish", &json!({"code": code})).await?, context)
        }
        FactorCommand::Codes { password_stdin } => {
            let body = two_factors(*password_stdin)?;
            codes(&client.post("/api/account/second-factor/recovery-codes", &body).await?, context)
        }
        FactorCommand::Off { password_stdin } => {
            client.delete_with("/api/account/second-factor", &two_factors(*password_stdin)?).await?;
            out.done(&json!({"enabled": false}), "Your second factor is off: your password alone signs you in.")
        }
    }
}

/// Somebody's password with a code.
fn two_factors(from_stdin: bool) -> Result<Value> {
    let (password, code) = input::password_and_code(from_stdin, "Password")?;
    let code = match code {
        Some(code) => code,
        None => input::ask("Code of your authenticator app, or a recovery code", "it on the second line of stdin")?,
    };
    Ok(json!({"password": password, "code": code}))
}

fn show_secret(begun: &Value, context: &Context) -> Result<()> {
    let out = context.out;
    let uri = begun["uri"].as_str().unwrap_or_default();
    if let (true, Ok(code)) = (out.is_terminal(), QrCode::new(uri)) {
        out.line(&code.render::<Dense1x2>().build())?;
    }
    out.note("Scan the picture with an authenticator app, or type the secret into it. It is shown this one time:")?;
    out.line(begun["secret"].as_str().unwrap_or_default())?;
    out.note("Then switch the second factor on with a code of the app: resoftai user factor finish")
}

fn codes(made: &Value, context: &Context) -> Result<()> {
    if context.out.is_json() {
        return context.out.value(made);
    }
    context.out.note(
        "Keep these recovery codes where the app is not. Each signs you in once. This is the only time they are shown:",
    )?;
    let codes = made["recovery_codes"].as_array().map(Vec::as_slice).unwrap_or_default();
    codes.iter().try_for_each(|code| context.out.line(code.as_str().unwrap_or_default()))
}

/// Takes somebody's second factor away.
pub async fn reset(username: &str, yes: bool, context: &Context) -> Result<()> {
    let user = lookup::user(context, username).await?;
    let question =
        format!("Take the second factor of {username} away? Make sure that it is them who ask: their sessions end.");
    input::confirm(&question, yes)?;
    context.client.delete(&format!("/api/users/{}/second-factor", user["id"])).await?;
    let sentence = format!("{username} signs in with the password alone, and is told so. They set up an app again.");
    context.out.done(&json!({"username": username, "second_factor": false}), &sentence)
}
