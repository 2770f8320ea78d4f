//! Whether a store's transparency log is what it has to be.

use dialgate::audit::{
    Checkpoint, Edge, Frontier, LoggedEntry, TileId, VerifierKey, consistency_ranges,
    is_consistent, leaf_hash, nodes, proof,
};
use dialgate::store::{LogLag, Store};

use super::builders::tenant;

/// Every entry has one place, every checkpoint is signed over exactly the entries before it and contains the one before, and the
/// stored tiles are those of the last. Tells the entries in their order.
pub async fn must_hold(store: &Store) -> Vec<LoggedEntry> {
    let mut tx = store.read().await.unwrap();
    let log = tx.audit_log(&tenant()).await.unwrap().unwrap();
    let key = VerifierKey::parse(&log.verifier_key).unwrap();
    let lag = tx.log_lag(&tenant()).await.unwrap();
    assert_eq!(lag, LogLag::default(), "entries without a place");
    let most = u32::MAX / 2;
    let entries = tx.logged_entries(&tenant(), 0, most).await.unwrap();
    let dense = entries
        .iter()
        .zip(0..)
        .all(|((at, _), wanted)| *at == wanted);
    assert!(dense, "a place is missing or given twice");
    assert_eq!(log.size, entries.len() as u64);
    let checkpoints = tx.checkpoints_from(&tenant(), 0, most).await.unwrap();
    let mut frontier = Frontier::default();
    let mut rest = entries.iter();
    let mut before = None;
    for stored in &checkpoints {
        let head = Checkpoint::open(&stored.note, &key).unwrap().head;
        assert_eq!(head.size, stored.size);
        while frontier.size() < head.size {
            let (_, entry) = rest.next().unwrap();
            frontier.push(leaf_hash(entry.leaf().as_bytes()));
        }
        assert_eq!(frontier.root(), head.root, "over {}", head.size);
        if let Some(before) = before.replace(head) {
            let ranges = consistency_ranges(before.size, head.size).unwrap();
            let ids: Vec<TileId> = ranges
                .iter()
                .flat_map(nodes)
                .map(|node| node.tile())
                .collect();
            let tiles = tx.audit_tiles(&tenant(), &ids).await.unwrap();
            let proof = proof(&ranges, &tiles).unwrap();
            assert!(is_consistent(&before, &head, &proof), "over {}", head.size);
        }
    }
    assert_eq!(rest.next(), None, "an entry under no checkpoint");
    let ids: Vec<TileId> = Edge::tiles(log.size).map(|(id, _)| id).collect();
    let tiles = tx.audit_tiles(&tenant(), &ids).await.unwrap();
    assert_eq!(Edge::of(log.size, &tiles).unwrap().root(), frontier.root());
    entries.into_iter().map(|(_, entry)| entry).collect()
}
