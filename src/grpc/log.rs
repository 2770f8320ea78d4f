//! The transparency log over the wire: entries, proofs, checkpoints, and the export that anybody can verify alone. What is stored
//! is sent as it is stored; whether it is what was logged, the one who reads it finds out.

mod export;

use tonic::{Request, Response, Status};

use crate::audit::{LoggedEntry, TileId, consistency_ranges, inclusion_ranges, nodes, proof};
use crate::domain::hex::hex;
use crate::domain::ids::{AuditEntryId, TenantId};
use crate::store::{AUDIT_FIELDS, PlacedEntry, StoreError, StoredCheckpoint, Tx};

use super::convert::{Fields, time};
use super::paging::{self, Filterable, Listing};
use super::{Api, Asked, pb, status};

pub(super) use export::{ExportLines, export};

const FILTERABLE: Filterable = Filterable {
    fields: AUDIT_FIELDS,
    renamed: &[],
};

/// `ListEntries`.
pub(super) async fn list(
    api: &Api,
    request: Request<pb::ListEntriesRequest>,
) -> Result<Response<pb::ListEntriesResponse>, Status> {
    let Asked {
        who, mut message, ..
    } = api.open(request)?;
    let mut fields = Fields::default();
    let size = paging::page_size(&mut fields, message.page_size);
    let number = fields.any_number(api.pack().tables(), "number", &message.number);
    fields.done()?;
    let token = std::mem::take(&mut message.page_token);
    message.page_size = 0;
    let listing = Listing::read("ListEntries", &message, &token, &message.filter, FILTERABLE)?
        .of_subject(number?.map(|number| api.key(&who, number)));
    let mut tx = api.read().await?;
    let page = tx.placed_entries(&who.tenant, &listing.query(size?)).await;
    let page = page.map_err(|error| status::from_store(&error))?;
    let (entries, next_page_token) = listing.answer(
        page,
        |placed| (placed.entry.at, placed.entry.entry_id.0),
        listed,
    );
    Ok(Response::new(pb::ListEntriesResponse {
        entries,
        next_page_token,
    }))
}

/// `GetEntry`.
pub(super) async fn get(
    api: &Api,
    request: Request<pb::GetEntryRequest>,
) -> Result<Response<pb::GetEntryResponse>, Status> {
    use pb::get_entry_request::Entry;
    let Asked { who, message, .. } = api.open(request)?;
    let mut fields = Fields::default();
    let asked = match message.entry {
        Some(Entry::EntryId(id)) => {
            let id = fields.id::<AuditEntryId>("entry_id", &id);
            fields.required("entry_id", id).map(Wanted::Id)
        }
        Some(Entry::LogIndex(index)) => count(&mut fields, "log_index", index).map(Wanted::Place),
        None => fields.wrong("entry", "is missing; name entry_id or log_index"),
    };
    let tree_size = count(&mut fields, "tree_size", message.tree_size);
    fields.done()?;
    let mut tx = api.read().await?;
    let found = find(&mut tx, &who.tenant, asked?).await;
    let found = found.map_err(|error| status::from_store(&error))?;
    let (place, entry) = found.ok_or_else(|| status::not_found("entry"))?;
    let latest = tx.latest_checkpoint(&who.tenant).await;
    let latest = latest.map_err(|error| status::from_store(&error))?;
    let proof = match (place, latest) {
        (Some(index), Some(latest)) => {
            let size = match tree_size? {
                0 => latest.size,
                size => size,
            };
            Some(inclusion(&mut tx, &who.tenant, index, (size, latest)).await?)
        }
        _ => None,
    };
    Ok(Response::new(pb::GetEntryResponse {
        leaf: entry.leaf(),
        entry: Some(logged(place, entry)),
        proof,
    }))
}

/// `GetCheckpoint`.
pub(super) async fn checkpoint(
    api: &Api,
    request: Request<pb::GetCheckpointRequest>,
) -> Result<Response<pb::GetCheckpointResponse>, Status> {
    let Asked { who, .. } = api.open(request)?;
    let mut tx = api.read().await?;
    let (verifier_key, latest) = standing(&mut tx, &who.tenant).await?;
    Ok(Response::new(pb::GetCheckpointResponse {
        tree_size: wire_count(latest.size),
        create_time: Some(time(latest.at)),
        checkpoint: latest.note,
        verifier_key,
    }))
}

/// `GetConsistencyProof`.
pub(super) async fn consistency(
    api: &Api,
    request: Request<pb::GetConsistencyProofRequest>,
) -> Result<Response<pb::GetConsistencyProofResponse>, Status> {
    let Asked { who, message, .. } = api.open(request)?;
    let mut fields = Fields::default();
    let old = count(&mut fields, "old_size", message.old_size);
    let new = count(&mut fields, "new_size", message.new_size);
    fields.done()?;
    let (old, new) = (old?, new?);
    let mut tx = api.read().await?;
    let (_, latest) = standing(&mut tx, &who.tenant).await?;
    let new = if new == 0 { latest.size } else { new };
    let ranges = consistency_ranges(old, new).filter(|_| new <= latest.size);
    let Some(ranges) = ranges else {
        let mut fields = Fields::default();
        let (field, most) = match new > latest.size {
            true => ("new_size", latest.size),
            false => ("old_size", new),
        };
        let _ = fields.wrong::<()>(field, format!("is larger than {most}, the size of the log"));
        fields.done()?;
        return Err(status::internal(
            "a size of the log was refused without a reason",
        ));
    };
    let hashes = hashes(&mut tx, &who.tenant, &ranges).await?;
    Ok(Response::new(pb::GetConsistencyProofResponse {
        hashes,
        new_size: wire_count(new),
        checkpoint: note_over(&mut tx, &who.tenant, new).await?,
    }))
}

/// Which entry is asked for.
enum Wanted {
    Id(AuditEntryId),
    Place(u64),
}

async fn find(
    tx: &mut Tx,
    tenant: &TenantId,
    wanted: Wanted,
) -> Result<Option<(Option<u64>, LoggedEntry)>, StoreError> {
    match wanted {
        Wanted::Id(id) => tx.logged_entry(tenant, id).await,
        Wanted::Place(place) => {
            let found = tx.logged_entries(tenant, place, 1).await?;
            let mut found = found.into_iter().filter(|(index, _)| *index == place);
            Ok(found.next().map(|(index, entry)| (Some(index), entry)))
        }
    }
}

/// The key that a log is known by, and its latest checkpoint.
async fn standing(tx: &mut Tx, tenant: &TenantId) -> Result<(String, StoredCheckpoint), Status> {
    let read = async {
        let log = tx.audit_log(tenant).await?;
        let latest = tx.latest_checkpoint(tenant).await?;
        Ok(log.zip(latest))
    };
    let read: Result<_, StoreError> = read.await;
    let found = read.map_err(|error| status::from_store(&error))?;
    let (log, latest) = found.ok_or_else(|| status::not_found("checkpoint"))?;
    Ok((log.verifier_key, latest))
}

async fn inclusion(
    tx: &mut Tx,
    tenant: &TenantId,
    index: u64,
    (size, latest): (u64, StoredCheckpoint),
) -> Result<pb::InclusionProof, Status> {
    let ranges = inclusion_ranges(index, size).filter(|_| size <= latest.size);
    let Some(ranges) = ranges else {
        let mut fields = Fields::default();
        let told = format!(
            "is {size}; the entry is in the log from {} to {} entries on",
            index.saturating_add(1),
            latest.size
        );
        let _ = fields.wrong::<()>("tree_size", told);
        fields.done()?;
        return Err(status::internal(
            "a size of the log was refused without a reason",
        ));
    };
    let hashes = hashes(tx, tenant, &ranges).await?;
    let checkpoint = match size == latest.size {
        true => latest.note,
        false => note_over(tx, tenant, size).await?,
    };
    Ok(pb::InclusionProof {
        log_index: wire_count(index),
        tree_size: wire_count(size),
        hashes,
        checkpoint,
    })
}

/// The hashes over these ranges, from the tiles.
async fn hashes(
    tx: &mut Tx,
    tenant: &TenantId,
    ranges: &[std::ops::Range<u64>],
) -> Result<Vec<Vec<u8>>, Status> {
    let nodes = ranges.iter().flat_map(nodes);
    let mut ids: Vec<TileId> = nodes.map(|node| node.tile()).collect();
    ids.sort_unstable();
    ids.dedup();
    let tiles = tx.audit_tiles(tenant, &ids).await;
    let tiles = tiles.map_err(|error| status::from_store(&error))?;
    let proof = proof(ranges, &tiles).ok_or_else(|| {
        status::internal("the tiles of the audit log lack hashes that were written with them")
    })?;
    Ok(proof.iter().map(|hash| hash.0.to_vec()).collect())
}

/// The checkpoint over exactly so many entries, if one was signed.
async fn note_over(tx: &mut Tx, tenant: &TenantId, size: u64) -> Result<String, Status> {
    let found = tx.checkpoints_from(tenant, size, 1).await;
    let found = found.map_err(|error| status::from_store(&error))?;
    let mut exact = found.into_iter().filter(|each| each.size == size);
    Ok(exact.next().map(|each| each.note).unwrap_or_default())
}

fn count(fields: &mut Fields, field: &str, value: i64) -> Result<u64, super::convert::Noted> {
    match u64::try_from(value) {
        Ok(count) => Ok(count),
        Err(_) => fields.wrong(field, "is negative; count from 0"),
    }
}

fn wire_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn listed(placed: PlacedEntry) -> pb::AuditEntry {
    let entry = placed.entry;
    pb::AuditEntry {
        entry_id: entry.entry_id.to_string(),
        create_time: Some(time(entry.at)),
        kind: entry.kind,
        actor: entry.actor,
        subject_key: entry.subject_key.map(|key| hex(&key)).unwrap_or_default(),
        payload_json: entry.payload.to_string(),
        log_index: placed.log_index,
    }
}

fn logged(place: Option<u64>, entry: LoggedEntry) -> pb::AuditEntry {
    pb::AuditEntry {
        entry_id: entry.entry_id.to_string(),
        create_time: Some(time(entry.at)),
        kind: entry.kind,
        actor: entry.actor,
        subject_key: entry.subject_key.map(|key| hex(&key)).unwrap_or_default(),
        payload_json: entry.payload,
        log_index: place.map(wire_count),
    }
}
