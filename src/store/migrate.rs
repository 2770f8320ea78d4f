//! The schema, brought up to date from embedded text at every start. Forward only, and so that the previous release can
//! go on running beside it (expand, move, contract).

use std::borrow::Cow;

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Acquire, SqlSafeStr as _, SqlStr};

use super::{Result, StoreError};

/// Every migration there is, with the texts of one engine: a file that is not named here is never run, and a test says so.
macro_rules! migrations {
    ($engine:literal) => {
        migrations! { $engine
            1 init "0001_init.sql",
            2 lookups "0002_lookups.sql",
            3 holders "0003_holders.sql",
            4 raises "0004_raises.sql",
            5 imports "0005_imports.sql",
            6 registers "0006_registers.sql",
            7 changes "0007_changes.sql",
            8 providers "0008_providers.sql",
            9 approvers "0009_approvers.sql",
            10 consent_imports "0010_consent_imports.sql",
            11 webhooks "0011_webhooks.sql",
            12 scopes "0012_scopes.sql",
            13 sent_again "0013_sent_again.sql",
            14 lift_requests "0014_lift_requests.sql",
            15 queues "0015_queues.sql",
            16 attestation "0016_attestation.sql",
            17 instructions "0017_instructions.sql",
            18 agents "0018_agents.sql",
            19 log "0019_log.sql",
            20 attendants "0020_attendants.sql",
        }
    };
    ($engine:literal $($version:literal $name:ident $file:literal,)+) => {
        migrator(&[$(
            ($version, stringify!($name), include_str!(concat!("../../migrations/", $engine, "/", $file))),
        )+])
    };
}

/// Same versions in both folders, as `tests/tidy.rs` checks.
pub(super) fn postgres() -> Migrator {
    migrations!("postgres")
}

pub(super) fn sqlite() -> Migrator {
    migrations!("sqlite")
}

/// Runs what is missing. On PostgreSQL sqlx holds a lock of its own meanwhile, so that two nodes may start at once.
pub(super) async fn run<'a, A>(migrator: &Migrator, connection: A) -> Result<()>
where
    A: Acquire<'a>,
    <A::Connection as std::ops::Deref>::Target: Migrate,
{
    migrator.run(connection).await.map_err(explain)
}

fn migrator(texts: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migration = |(version, name, text): &(i64, &'static str, &'static str)| {
        let text: SqlStr = text.into_sql_str();
        Migration::new(
            *version,
            Cow::Borrowed(*name),
            MigrationType::Simple,
            text,
            false,
        )
    };
    Migrator::with_migrations(texts.iter().map(migration).collect())
}

fn explain(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(version) => StoreError::Setting(format!(
            "the database has schema version {version}, which this program does not know: start a newer release"
        )),
        MigrateError::VersionMismatch(version) => StoreError::Setting(format!(
            "schema version {version} of the database was made from another text: it belongs to another program or build"
        )),
        MigrateError::Dirty(version) => StoreError::Setting(format!(
            "schema version {version} was left half done: restore the database from its backup"
        )),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => StoreError::Other(format!("cannot bring the schema up to date: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::access::Role;
    use crate::domain::call::{
        AgentResult, Attestation, CallKind, CallState, EventKind, Outcome, Purpose, QueueState,
    };
    use crate::domain::consent::{ConsentAction, ConsentForm, InitiatedBy};
    use crate::domain::decision::{Stage, Verdict};
    use crate::domain::disposition::{AttemptResult, DispositionCode};
    use crate::domain::import::{ImportKind, ImportState};
    use crate::domain::instruction::{InstructionKind, InstructionResult};
    use crate::domain::party::LineType;
    use crate::domain::policy::PackOrigin;
    use crate::domain::provider::{ProviderKind, ScrubOutcome};
    use crate::domain::suppression::{SuppressionChangeKind, SuppressionReason, SuppressionSource};
    use crate::domain::webhook::WebhookState;

    /// A file that nobody runs is a schema that only its author has.
    #[test]
    fn every_file_is_run() {
        for (engine, migrator) in [("postgres", super::postgres()), ("sqlite", super::sqlite())] {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/").to_owned() + engine;
            let files = std::fs::read_dir(folder).unwrap();
            let mut files: Vec<String> = files
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            let run = migrator
                .iter()
                .map(|each| format!("{:04}_{}.sql", each.version, each.description));
            assert_eq!(run.collect::<Vec<_>>(), files, "{engine}");
        }
    }

    /// A word that Rust knows and a CHECK refuses would be found by a person being called.
    #[test]
    fn both_schemas_know_every_word() {
        let texts = [super::postgres(), super::sqlite()].map(|migrator| {
            let texts = migrator
                .iter()
                .map(|migration| migration.sql.as_str().to_owned());
            texts.collect::<Vec<_>>().join("\n")
        });
        let listed = |words: &[&str]| {
            words
                .iter()
                .map(|word| format!("'{word}'"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        macro_rules! known {
            ($($set:ident),+) => {$(
                let words: Vec<_> = $set::ALL.iter().map(|word| word.as_str()).collect();
                for text in &texts {
                    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(");
                    assert!(flat.contains(&format!("IN ({}", listed(&words))), "{}", stringify!($set));
                }
            )+};
        }
        known!(
            Role,
            AgentResult,
            Attestation,
            CallKind,
            CallState,
            EventKind,
            Outcome,
            QueueState,
            ConsentAction,
            ConsentForm,
            ImportKind,
            ImportState,
            InitiatedBy,
            InstructionKind,
            InstructionResult,
            Stage,
            Verdict,
            AttemptResult,
            DispositionCode,
            LineType,
            PackOrigin,
            Purpose,
            ProviderKind,
            ScrubOutcome,
            SuppressionChangeKind,
            SuppressionReason,
            SuppressionSource,
            WebhookState
        );
    }
}
