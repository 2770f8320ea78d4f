//! `dialgate policy list`, `show`, `disable` and `enable`: the rules in force, one by one.

use anyhow::{Context, Result};
use clap::Args;

use super::super::arguments::Change;
use super::super::client::Remote;
use super::super::failure::Refused;
use super::super::output::{Output, plain, width, wrap};
use super::super::wire::{self, word};
use crate::grpc::client::{ask, json};
use crate::grpc::pb::{
    DisableRuleRequest, EnableRuleRequest, GetRuleRequest, ListRulesRequest, Rule,
};

/// Arguments of `policy list`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dialgate policy list --place US-FL\n  dialgate policy list --kind register --all\n  \
                  dialgate policy list --disabled"
)]
pub struct ListArgs {
    /// Only rules that may hold for calls into this place: its own, its country's, its group's, the product's
    #[arg(
        long,
        value_name = "PLACE",
        default_value = "",
        hide_default_value = true
    )]
    pub place: String,
    /// Only rules of this kind, such as calling_window
    #[arg(
        long,
        value_name = "KIND",
        default_value = "",
        hide_default_value = true
    )]
    pub kind: String,
    /// Only rules that are switched off
    #[arg(long)]
    pub disabled: bool,
    /// Of the pack with this hash instead of the one in force
    #[arg(
        long,
        value_name = "SHA256",
        default_value = "",
        hide_default_value = true
    )]
    pub pack: String,
    /// Rules a page
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub page_size: i32,
    /// Every page, not only the first
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub remote: Remote,
}

/// Arguments of `policy show`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dialgate policy show US-national-dnc")]
pub struct ShowArgs {
    /// The rule's id, as decisions and `policy list` name it
    #[arg(value_name = "RULE")]
    pub rule: String,
    /// Of the pack with this hash instead of the one in force
    #[arg(
        long,
        value_name = "SHA256",
        default_value = "",
        hide_default_value = true
    )]
    pub pack: String,
    #[command(flatten)]
    pub remote: Remote,
}

/// Arguments of `policy disable` and `policy enable`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dialgate policy disable BE-robocall --reason \"repealed, says counsel, file 12/26\"\n  \
                  dialgate policy enable BE-robocall --reason \"in force after all\""
)]
pub struct SwitchArgs {
    /// The rule's id
    #[arg(value_name = "RULE")]
    pub rule: String,
    /// Why; stands in the history, and in decisions while the rule is off
    #[arg(long)]
    pub reason: String,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub remote: Remote,
}

/// Lists rules.
pub async fn list(args: ListArgs) -> Result<()> {
    let client = args.remote.connect().await?;
    let output = args.remote.output();
    let mut request = ListRulesRequest {
        page_size: args.page_size,
        page_token: String::new(),
        place: args.place,
        kind: args.kind,
        disabled_only: args.disabled,
        sha256: args.pack,
    };
    let mut count = 0;
    loop {
        let page = client.policy().list_rules(ask(request.clone())).await;
        let page = page.map_err(Refused::question)?.into_inner();
        count += page.rules.len();
        rows(output, &page.rules)?;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() || !args.all {
            break;
        }
    }
    match (count, request.page_token.is_empty()) {
        (0, _) => output.remark("no rule found"),
        (1, true) => output.remark("1 rule"),
        (_, true) => output.remark(&format!("{count} rules")),
        (_, false) => output.remark(&format!("{count} rules; there are more: --all shows them")),
    }
}

/// Shows one rule.
pub async fn show(args: ShowArgs) -> Result<()> {
    let client = args.remote.connect().await?;
    let request = GetRuleRequest {
        rule: args.rule,
        sha256: args.pack,
    };
    let answer = client.policy().get_rule(ask(request)).await;
    let answer = answer.map_err(Refused::question)?.into_inner();
    let rule = answer
        .rule
        .context("the server answered without the rule")?;
    let pack = answer.pack.unwrap_or_default();
    args.remote.output().answer(
        || json::object("Rule", &rule),
        || {
            let text = card(&rule);
            format!(
                "{text}\nin pack {} ({})",
                plain(&pack.version),
                plain(&pack.sha256)
            )
        },
    )
}

/// Switches a rule off.
pub async fn disable(args: SwitchArgs) -> Result<()> {
    let request_id = args.change.name();
    let client = args.remote.connect().await?;
    let request = DisableRuleRequest {
        request_id: request_id.clone(),
        rule: args.rule,
        reason: args.reason,
    };
    let answer = client.policy().disable_rule(ask(request)).await;
    let answer = answer
        .map_err(|status| Refused::change(status, format!("--request-id {request_id}")))?
        .into_inner();
    let rule = answer
        .rule
        .context("the server answered without the rule")?;
    args.remote.output().answer(
        || json::object("Rule", &rule),
        || {
            format!(
                "rule {} is switched off on every node; decisions show it as disabled",
                plain(&rule.rule)
            )
        },
    )
}

/// Switches a rule on again.
pub async fn enable(args: SwitchArgs) -> Result<()> {
    let request_id = args.change.name();
    let client = args.remote.connect().await?;
    let request = EnableRuleRequest {
        request_id: request_id.clone(),
        rule: args.rule,
        reason: args.reason,
    };
    let answer = client.policy().enable_rule(ask(request)).await;
    let answer = answer
        .map_err(|status| Refused::change(status, format!("--request-id {request_id}")))?
        .into_inner();
    let rule = answer
        .rule
        .context("the server answered without the rule")?;
    args.remote.output().answer(
        || json::object("Rule", &rule),
        || format!("rule {} decides again on every node", plain(&rule.rule)),
    )
}

fn rows(output: Output, rules: &[Rule]) -> Result<()> {
    output.rows(
        rules,
        |rule| json::object("Rule", rule),
        &["id", "place", "kind", "decides", "certainty", "citation"],
        |rule| {
            vec![
                rule.rule.clone(),
                rule.jurisdiction.clone(),
                rule.kind.clone(),
                state(rule).to_owned(),
                word!(RuleCertainty, rule.certainty),
                rule.citation.clone(),
            ]
        },
    )
}

fn state(rule: &Rule) -> &'static str {
    match (&rule.disabled, rule.decides) {
        (Some(_), _) => "disabled",
        (None, true) => "yes",
        (None, false) => "no",
    }
}

fn card(rule: &Rule) -> String {
    let mut text = format!(
        "{} ({}, {})\n{}\n",
        plain(&rule.rule),
        plain(&rule.jurisdiction),
        plain(&rule.kind),
        wrap(&plain(&rule.citation), width().into(), "  "),
    );
    let from = wire::date_text(rule.effective_from_date.as_ref());
    let to = wire::date_text(rule.effective_to_date.as_ref());
    if !from.is_empty() || !to.is_empty() {
        text.push_str(&format!("  in force {from} … {to}\n"));
    }
    if let Some(disabled) = &rule.disabled {
        let (actor, reason) = (plain(&disabled.actor), plain(&disabled.reason));
        text.push_str(&format!("  switched off by {actor}: {reason}\n"));
    }
    text.push_str(&format!("\n# {}\n[[rule]]\n", plain(&rule.file)));
    for key in &rule.keys {
        text.push_str(&format!("{} = {}\n", plain(&key.key), plain(&key.value)));
    }
    text
}
