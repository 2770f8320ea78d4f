//! `dialgate admin key`: credentials. Works on the store itself, for no credential exists before the first one; whoever can
//! read the store's key file and write its database is its operator anyway.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::access::{ApiKey, Role};
use crate::domain::ids::{ApiKeyId, AuditEntryId, TenantId};
use crate::grpc::Credential;
use crate::store::{AuditEntry, Store, Urgency};

use super::output;

/// What the operator of a node does
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Key(KeyCommand),
}

/// What to do with API keys
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make an API key and print it, once; only its hash is kept
    Create(CreateArgs),
    /// List API keys
    List(ListArgs),
    /// Revoke an API key; every node refuses it within 5 seconds
    Revoke(RevokeArgs),
}

/// Arguments of `admin key create`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  dialgate admin key create --name desk-7 --role agent --config dialgate.toml > desk-7.key"
)]
pub struct CreateArgs {
    /// A name to know it by; stands in the log as who acted
    #[arg(long)]
    pub name: String,
    /// agent, administrator, approver or auditor
    #[arg(long)]
    pub role: Role,
    #[command(flatten)]
    store: StoreArgs,
}

/// Arguments of `admin key list`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dialgate admin key list")]
pub struct ListArgs {
    #[command(flatten)]
    store: StoreArgs,
}

/// Arguments of `admin key revoke`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  dialgate admin key revoke 01936a5c-7a3e-7c60-9d2f-3f0e5b6a7c8d"
)]
pub struct RevokeArgs {
    /// The key's id, as `list` shows it
    pub id: ApiKeyId,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Args)]
struct StoreArgs {
    /// The node's configuration file
    #[arg(long, env = "DIALGATE_CONFIG", default_value = "dialgate.toml")]
    config: PathBuf,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Does it.
pub async fn run(command: AdminCommand) -> Result<ExitCode> {
    let AdminCommand::Key(command) = command;
    match command {
        KeyCommand::Create(args) => create(args).await?,
        KeyCommand::List(args) => list(args).await?,
        KeyCommand::Revoke(args) => revoke(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn open(args: &StoreArgs) -> Result<Store> {
    let config = Config::load(&args.config)?;
    Store::open(&config.store)
        .await
        .context("the store cannot be opened")
}

async fn create(args: CreateArgs) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    ensure!(
        !args.name.is_empty() && args.name.len() <= 64 && args.name.chars().all(plain),
        "--name: use 1 to 64 letters, digits, `-`, `_`, `.` or `@`"
    );
    let store = open(&args.store).await?;
    let credential = make_key(&store, &args.name, args.role).await?;
    if args.store.json {
        let line = json!({ "api_key_id": credential.api_key_id, "role": args.role, "api_key": &*credential.text() });
        println!("{line}");
    } else {
        println!("{}", &*credential.text());
        eprintln!(
            "Key `{}` with the role {}. It is shown this once; keep it where only its user can read it.",
            args.name, args.role
        );
    }
    Ok(())
}

/// Makes a key in this store.
pub(super) async fn make_key(store: &Store, name: &str, role: Role) -> Result<Credential> {
    let at = Clock::Real.read().wall;
    let tenant = TenantId::default();
    let credential = Credential::generate(at)?;
    let key = ApiKey {
        api_key_id: credential.api_key_id,
        tenant: tenant.clone(),
        name: name.to_owned(),
        role,
        secret_hash: credential.secret_hash(),
    };
    let mut tx = store.write(Urgency::Ordinary).await?;
    tx.insert_api_key(&key, at).await?;
    tx.insert_audit(
        &tenant,
        &[entry(
            "api_key.created",
            &json!({ "api_key_id": key.api_key_id, "name": name, "role": role }),
        )],
    )
    .await?;
    tx.commit().await?;
    Ok(credential)
}

async fn list(args: ListArgs) -> Result<()> {
    let store = open(&args.store).await?;
    let keys = store.read().await?.api_keys(&TenantId::default()).await?;
    if args.store.json {
        for each in keys {
            let line = json!({
                "api_key_id": each.key.api_key_id,
                "name": each.key.name,
                "role": each.key.role,
                "create_time": each.create_time,
                "revoke_time": each.revoke_time,
            });
            println!("{line}");
        }
        return Ok(());
    }
    let rows = keys.into_iter().map(|each| {
        vec![
            each.key.api_key_id.to_string(),
            each.key.name,
            each.key.role.to_string(),
            each.create_time.to_string(),
            each.revoke_time
                .map_or_else(String::new, |at| at.to_string()),
        ]
    });
    println!(
        "{}",
        output::table(&["id", "name", "role", "made", "revoked"], rows)
    );
    Ok(())
}

async fn revoke(args: RevokeArgs) -> Result<()> {
    let store = open(&args.store).await?;
    let tenant = TenantId::default();
    let mut tx = store.write(Urgency::Ordinary).await?;
    let revoked = tx
        .revoke_api_key(&tenant, args.id, Clock::Real.read().wall)
        .await?;
    ensure!(
        revoked,
        "there is no key `{}` in force; `dialgate admin key list` shows them",
        args.id
    );
    tx.insert_audit(
        &tenant,
        &[entry("api_key.revoked", &json!({ "api_key_id": args.id }))],
    )
    .await?;
    tx.commit().await?;
    println!("revoked {}", args.id);
    Ok(())
}

fn entry(kind: &str, payload: &serde_json::Value) -> AuditEntry {
    let at = Clock::Real.read().wall;
    AuditEntry {
        entry_id: AuditEntryId::new(at),
        kind: kind.to_owned(),
        actor: format!(
            "local:{}",
            std::env::var("USER").unwrap_or_else(|_| "operator".to_owned())
        ),
        subject_key: None,
        payload: payload.clone(),
        at,
    }
}
