//! Which import a list that comes in is: one that is open and is gone on with, or a new one.

use uuid::Uuid;

use crate::domain::ids::{ImportId, TenantId};
use crate::domain::import::{Import, ImportCounts, ImportKind, ImportState};
use crate::domain::time::Micros;
use crate::gate::error::GateError;
use crate::gate::records;
use crate::gate::{Ask, Gate};
use crate::store::{ImportRunner, StoreError, Urgency};

use super::kind::Listed;
use super::{NewImport, entry};

impl Gate {
    /// The import of this list, which this sending now goes on with.
    pub(super) async fn open_import(
        &self,
        ask: &Ask,
        new: &NewImport,
        kind: ImportKind,
        runner: Uuid,
    ) -> Result<(Import, Listed), GateError> {
        // Whoever comes second sees what came first, and takes it over. There is no third.
        for _ in 0..3 {
            match self.open_import_once(ask, new, kind, runner).await {
                Err(GateError::Store(error)) if matches!(*error, StoreError::Duplicate { .. }) => {}
                answer => return answer,
            }
        }
        Err(GateError::ImportTaken)
    }

    async fn open_import_once(
        &self,
        ask: &Ask,
        new: &NewImport,
        kind: ImportKind,
        runner: Uuid,
    ) -> Result<(Import, Listed), GateError> {
        let tenant = &ask.principal.tenant;
        let (content, settings) = (&new.content_sha256, &new.settings_sha256);
        let (mut tx, repeated) = self.begin(ask, Urgency::Ordinary).await?;
        let found = match &repeated {
            // The very request is about the import that it began or went on with, whatever became of that.
            Some(stored) => tx.import(tenant, kind, records::made(stored)?).await?,
            None => tx.open_import(tenant, content, settings).await?,
        };
        let (what, import) = match found {
            Some(ended) if ended.state != ImportState::Open => {
                let list = listed(&ended, None);
                return Ok((ended, list));
            }
            Some(open) => {
                let import_id = open.import_id;
                let taken = tx
                    .take_import(tenant, ImportRunner { import_id, runner })
                    .await?;
                // Read once more, now that nobody else goes on with it.
                match tx.import(tenant, kind, import_id).await?.filter(|_| taken) {
                    Some(import) => ("resumed", import),
                    None => {
                        return Err(StoreError::Duplicate {
                            what: "import".to_owned(),
                        }
                        .into());
                    }
                }
            }
            None => {
                let import = fresh(ask, new, kind);
                tx.insert_import(tenant, &import, runner).await?;
                ("started", import)
            }
        };
        tx.insert_audit(tenant, &[entry(ask, what, &import)])
            .await?;
        if repeated.is_none() {
            let stored = ask.stored(import.import_id.to_string(), false);
            tx.insert_requests(tenant, &[stored]).await?;
        }
        let came_at = tx.list_came_at(tenant, content, settings).await?;
        tx.commit().await?;
        let list = listed(&import, came_at);
        Ok((import, list))
    }

    /// The list of a trial: as an import of it would judge its rows.
    pub(super) async fn as_it_came(
        &self,
        tenant: &TenantId,
        new: &NewImport,
        import: &Import,
    ) -> Result<Listed, GateError> {
        let mut tx = self.store().read().await?;
        let came_at = tx
            .list_came_at(tenant, &new.content_sha256, &new.settings_sha256)
            .await?;
        Ok(listed(import, came_at))
    }
}

fn listed(import: &Import, came_at: Option<Micros>) -> Listed {
    Listed {
        import_id: import.import_id,
        came_at: came_at.unwrap_or(import.began_at).min(import.began_at),
    }
}

/// An import of which nothing is read yet.
pub(super) fn fresh(ask: &Ask, new: &NewImport, kind: ImportKind) -> Import {
    Import {
        import_id: ImportId::new(ask.at),
        kind,
        state: ImportState::Open,
        content_sha256: new.content_sha256,
        size_bytes: i64::try_from(new.size_bytes).unwrap_or(i64::MAX),
        settings_sha256: new.settings_sha256,
        counts: ImportCounts::default(),
        lines: 0,
        lines_sha256: [0; 32],
        acknowledged_lines: 0,
        acknowledged_rows: 0,
        problem: None,
        actor: ask.principal.actor(),
        began_at: ask.at,
        ended_at: None,
    }
}
