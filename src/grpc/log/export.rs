//! The log as lines of a file. What is stored is sent as it is stored, also where it is not what was logged: the one who reads the
//! file finds out.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::audit::{
    EXPORT_FORMAT, ExportHeader, ExportLine, Hash, LoggedEntry, TILE_WIDTH, TileId, Tiles, nodes,
    proof, upper_tiles,
};
use crate::domain::hex::hex;
use crate::domain::ids::TenantId;
use crate::store::{StoreError, StoredCheckpoint};

use super::super::convert::Fields;
use super::super::{Api, Asked, pb, status};
use super::{count, standing, wire_count};

/// Entries of an export that are read at once: one tile.
const EXPORT_ENTRIES: u32 = 256;
/// Bytes of lines after which a message of an export is sent.
const EXPORT_BYTES: usize = 256 * 1024;
/// Messages of an export that wait for a slow client.
const EXPORT_WAITING: usize = 2;
/// Checkpoints that are read at once.
const CHECKPOINTS: u32 = 512;

/// The lines of an export on their way.
pub(in crate::grpc) type ExportLines = ReceiverStream<Result<pb::ExportEntriesResponse, Status>>;

/// `ExportEntries`.
pub(in crate::grpc) async fn export(
    api: &Api,
    request: Request<pb::ExportEntriesRequest>,
) -> Result<Response<ExportLines>, Status> {
    let Asked { who, message, .. } = api.open(request)?;
    let mut fields = Fields::default();
    let first = count(&mut fields, "first_index", message.first_index);
    fields.done()?;
    let first = first?;
    let mut tx = api.read().await?;
    let (verifier_key, latest) = standing(&mut tx, &who.tenant).await?;
    if first > latest.size {
        let mut fields = Fields::default();
        let told = format!("is larger than {}, the size of the log", latest.size);
        let _ = fields.wrong::<()>("first_index", told);
        fields.done()?;
    }
    let before = nodes(&(0..first));
    let ids: Vec<TileId> = before.iter().map(|node| node.tile()).collect();
    let checkpoints = async {
        let tiles = tx.audit_tiles(&who.tenant, &ids).await?;
        let count = tx.count_checkpoints(&who.tenant, first, latest.size);
        Ok((tiles, count.await?))
    };
    let read: Result<_, StoreError> = checkpoints.await;
    let (tiles, checkpoints) = read.map_err(|error| status::from_store(&error))?;
    drop(tx);
    let peaks = before.iter().map(|node| {
        let range = (node.index << node.level)..((node.index + 1) << node.level);
        let hash = proof(&[range], &tiles).and_then(|hashes| hashes.first().copied());
        hex(&hash.unwrap_or(MISSING).0)
    });
    let header = ExportHeader {
        format: EXPORT_FORMAT,
        origin: verifier_key
            .split('+')
            .next()
            .unwrap_or_default()
            .to_owned(),
        key: verifier_key,
        first,
        size: latest.size,
        checkpoints,
        peaks: peaks.collect(),
    };
    api.note_export(&who, "ExportEntries").await?;
    let (out, answers) = mpsc::channel(EXPORT_WAITING);
    let sender = Export {
        api: api.clone(),
        tenant: who.tenant,
        out,
        lines: Vec::new(),
        bytes: 0,
        size: latest.size,
        sent: 0,
    };
    tokio::spawn(sender.run(header));
    Ok(Response::new(ReceiverStream::new(answers)))
}

/// What stands for a hash that the tree does not hold any more: no entry has it.
const MISSING: Hash = Hash([0; 32]);

/// An export on its way: reads a tile's worth of entries after the other, each in a transaction of its own, as fast as the
/// client takes them.
struct Export {
    api: Api,
    tenant: TenantId,
    out: mpsc::Sender<Result<pb::ExportEntriesResponse, Status>>,
    lines: Vec<String>,
    bytes: usize,
    size: u64,
    sent: u64,
}

/// The client went away, or was told why there is no more.
struct Ended;

impl Export {
    async fn run(mut self, header: ExportHeader) {
        let closing = self.api.closing.clone();
        let all = async {
            self.send_all(header).await?;
            self.flush().await
        };
        if closing.run_until_cancelled(all).await.is_none() {
            let _ = self.out.try_send(Err(status::closing()));
        }
    }

    async fn send_all(&mut self, header: ExportHeader) -> Result<(), Ended> {
        let (first, mut next) = (header.first, header.first);
        let mut checkpoints = Checkpoints::from(header.first);
        self.line(&ExportLine::Header(header)).await?;
        while next < self.size {
            let (entries, tiles) = match self.page(next).await {
                Ok(page) => page,
                Err(error) => return self.fail(&error).await,
            };
            let Some((last, _)) = entries.last() else {
                // Somebody took out all that was to come; the file shows it.
                break;
            };
            let after = last.saturating_add(1);
            for (index, entry) in entries {
                self.checkpoints(&mut checkpoints, index).await?;
                let leaf = entry.leaf();
                let line = ExportLine::Entry {
                    index,
                    leaf_hash: leaf_hash_at(&tiles, index),
                    leaf: &leaf,
                };
                self.sent += 1;
                self.line(&line).await?;
            }
            next = after;
        }
        let size = self.size;
        self.checkpoints(&mut checkpoints, size).await?;
        // Who has no entry before the first cannot make them again.
        if first > 0 {
            return Ok(());
        }
        self.tiles().await
    }

    /// Entries from here on, with the tiles of leaves that they are in.
    async fn page(&self, next: u64) -> Result<(Vec<(u64, LoggedEntry)>, Tiles), StoreError> {
        let mut tx = self.api.gate.store().read().await?;
        let entries = tx
            .logged_entries(&self.tenant, next, EXPORT_ENTRIES)
            .await?;
        let entries: Vec<_> = entries
            .into_iter()
            .filter(|(index, _)| *index < self.size)
            .collect();
        let mut ids: Vec<TileId> = entries.iter().map(|(index, _)| leaf_tile(*index)).collect();
        ids.dedup();
        let tiles = tx.audit_tiles(&self.tenant, &ids).await?;
        Ok((entries, tiles))
    }

    /// The checkpoints over no more than so many entries that were not sent yet.
    async fn checkpoints(
        &mut self,
        checkpoints: &mut Checkpoints,
        until: u64,
    ) -> Result<(), Ended> {
        loop {
            if checkpoints.waiting.is_empty() && !checkpoints.is_over {
                let read = async {
                    let mut tx = self.api.gate.store().read().await?;
                    let from = checkpoints.from;
                    tx.checkpoints_from(&self.tenant, from, CHECKPOINTS).await
                };
                match read.await {
                    Ok(read) => checkpoints.take(read),
                    Err(error) => return self.fail(&error).await,
                }
            }
            let due = checkpoints
                .waiting
                .front()
                .is_some_and(|each| each.size <= until);
            let Some(checkpoint) = checkpoints.waiting.pop_front_if(|_| due) else {
                return Ok(());
            };
            self.line(&ExportLine::Checkpoint(checkpoint.note)).await?;
        }
    }

    /// The tiles above the leaves, as wide as they were under the last checkpoint.
    async fn tiles(&mut self) -> Result<(), Ended> {
        for (id, width) in upper_tiles(self.size) {
            let read = async {
                let mut tx = self.api.gate.store().read().await?;
                tx.audit_tiles(&self.tenant, &[id]).await
            };
            let tiles = match read.await {
                Ok(tiles) => tiles,
                Err(error) => return self.fail(&error).await,
            };
            let mut hashes = tiles.get(id).unwrap_or_default().to_vec();
            hashes.resize(width, MISSING);
            self.line(&ExportLine::Tile(id, hashes)).await?;
        }
        Ok(())
    }

    async fn line(&mut self, line: &ExportLine<'_>) -> Result<(), Ended> {
        let text = line.text();
        self.bytes += text.len();
        self.lines.push(text);
        if self.bytes < EXPORT_BYTES {
            return Ok(());
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        self.bytes = 0;
        let message = pb::ExportEntriesResponse {
            lines: std::mem::take(&mut self.lines),
            tree_size: wire_count(self.size),
            sent_entries: wire_count(self.sent),
        };
        self.out.send(Ok(message)).await.map_err(|_| Ended)
    }

    async fn fail(&self, error: &StoreError) -> Result<(), Ended> {
        let _ = self.out.send(Err(status::from_store(error))).await;
        Err(Ended)
    }
}

/// Checkpoints in their order, some at a time.
struct Checkpoints {
    waiting: VecDeque<StoredCheckpoint>,
    from: u64,
    is_over: bool,
}

impl Checkpoints {
    fn from(size: u64) -> Self {
        Self {
            waiting: VecDeque::new(),
            from: size,
            is_over: false,
        }
    }

    fn take(&mut self, read: Vec<StoredCheckpoint>) {
        match read.last() {
            Some(last) => self.from = last.size.saturating_add(1),
            None => self.is_over = true,
        }
        self.waiting = read.into();
    }
}

fn leaf_tile(index: u64) -> TileId {
    TileId {
        level: 0,
        index: index / TILE_WIDTH as u64,
    }
}

fn leaf_hash_at(tiles: &Tiles, index: u64) -> Hash {
    let place = usize::try_from(index % TILE_WIDTH as u64).unwrap_or(0);
    let tile = tiles.get(leaf_tile(index)).unwrap_or_default();
    tile.get(place).copied().unwrap_or(MISSING)
}
