//! What a person types. One file a subcommand; each has its arguments, its `run`, and an example in its help.
//!
//! Most commands are thin clients of a running server ([`client`]) and print what it answers ([`output`], [`card`],
//! [`failure`]); the others work on this machine alone. Exit codes are the same everywhere: 0 done, 1 failed, 2 usage,
//! 3 denied.

use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};

use crate::place::zone_data_version;

pub mod admin;
pub mod arguments;
pub mod audit;
pub mod call;
pub mod card;
pub mod check;
pub mod client;
pub mod completions;
pub mod config;
pub mod confirm;
pub mod consent;
pub mod contact;
pub mod demo;
pub mod failure;
pub mod lines;
pub mod lists;
pub mod locate;
pub mod new_file;
pub mod node;
pub mod optout;
pub mod output;
pub mod person;
pub mod policy;
pub mod progress;
pub mod registry;
pub mod serve;
pub mod trunk;
pub mod webhook;
pub mod wire;

/// The zone data decide where and when, so they are part of what this program is.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let (program, zones) = (env!("CARGO_PKG_VERSION"), zone_data_version());
    format!("{program} (zone data {zones})")
});

/// Compliance-gated outbound dialer: no call without a stored, explained allow
///
/// A softphone asks for a call; the gate decides on consent, opt-outs, registers, hours, caps and legal basis, and
/// writes the decision down with every rule and its citation; only then is the number dialed.
#[derive(Debug, Parser)]
#[command(
    name = "dialgate",
    version = VERSION.as_str(),
    max_term_width = 110,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 denied (check, call).\n\n\
                  A first look, without any set-up:\n  dialgate demo"
)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See it work: real calls over loopback, allowed and refused, each with its reasons; ends by itself
    Demo(demo::DemoArgs),
    /// Run a node
    Serve(serve::ServeArgs),
    /// Ask whether a number may be called now, and why; nothing is dialed and no cap is used
    Check(check::CheckArgs),
    /// Place a call and follow it to its end; Ctrl-C hangs up
    Call(call::CallArgs),
    /// Record, lift, list, import and export opt-outs: records that block calls
    #[command(subcommand)]
    Optout(optout::OptoutCommand),
    /// Record, withdraw, import and look up consents
    #[command(subcommand)]
    Consent(consent::ConsentCommand),
    /// Set and show the facts about a person that rules need
    #[command(subcommand)]
    Contact(contact::ContactCommand),
    /// Load the lists of national and state registers, and see how old they are
    #[command(subcommand)]
    Registry(registry::RegistryCommand),
    /// See whether the trunks take calls, and why not
    #[command(subcommand)]
    Trunk(trunk::TrunkCommand),
    /// See who is told of changes of opt-outs, and how far each is
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// Look into the decisions and the log on record, and verify a log without its server
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// See, try, compare and change the rules that decide
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Show where a number may be and what time it is there
    Locate(locate::LocateArgs),
    /// Make and revoke credentials
    #[command(subcommand)]
    Admin(admin::AdminCommand),
    /// Check a configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print a script by which a shell completes commands and options
    Completions(completions::CompletionsArgs),
    /// Write manual pages, one for each command
    Man(completions::ManArgs),
}

/// Runs one command line and tells the exit code; every failure has been printed by then.
pub async fn run(cli: Cli) -> ExitCode {
    let as_json = cli.command.prints_json();
    let result = match cli.command {
        Command::Demo(args) => demo::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Check(args) => check::run(args).await,
        Command::Call(args) => call::run(args).await,
        Command::Optout(command) => optout::run(command).await,
        Command::Consent(command) => consent::run(command).await,
        Command::Contact(command) => contact::run(command).await,
        Command::Registry(command) => registry::run(command).await,
        Command::Trunk(command) => trunk::run(command).await,
        Command::Webhook(command) => webhook::run(command).await,
        Command::Audit(command) => audit::run(command).await,
        Command::Policy(command) => policy::run(command).await,
        Command::Locate(args) => locate::run(args),
        Command::Admin(command) => admin::run(command).await,
        Command::Config(command) => config::run(command),
        Command::Completions(args) => completions::completions(&args),
        Command::Man(args) => completions::man(&args),
    };
    result.unwrap_or_else(|error| failure::report(&error, as_json))
}

impl Command {
    /// Whether a program reads the answer; its failures are objects too.
    fn prints_json(&self) -> bool {
        let remote = match self {
            Self::Check(args) => &args.remote,
            Self::Call(args) => &args.remote,
            Self::Optout(command) => command.remote(),
            Self::Consent(command) => command.remote(),
            Self::Contact(command) => command.remote(),
            Self::Registry(command) => command.remote(),
            Self::Trunk(command) => command.remote(),
            Self::Webhook(command) => command.remote(),
            Self::Audit(command) => match command.remote() {
                Some(remote) => remote,
                None => return command.prints_json(),
            },
            Self::Policy(command) => match command.remote() {
                Some(remote) => remote,
                None => return false,
            },
            Self::Demo(_)
            | Self::Serve(_)
            | Self::Locate(_)
            | Self::Admin(_)
            | Self::Config(_)
            | Self::Completions(_)
            | Self::Man(_) => return false,
        };
        remote.json
    }

    /// Whether the command is a service, which starts the log as its configuration says, and not a single question.
    #[must_use]
    pub fn is_service(&self) -> bool {
        matches!(self, Self::Serve(_))
    }
}
