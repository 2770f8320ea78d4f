//! Looks at an export line by line, with nothing else at hand than a key and the checkpoints that somebody kept, and says of
//! which entries something is wrong. Whoever holds the database can write any file; they cannot sign it, and they cannot make
//! it agree with a checkpoint that was given away before.

use std::ops::Range;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::export::{EXPORT_FORMAT, ExportHeader, ExportLine};
use super::note::VerifierKey;
use super::tile::{TILE_WIDTH, TileId, upper_tile};
use super::tree::{Frontier, Hash, leaf_hash, node_hash};
use super::verdict::{Fault, Found, Verdict};

/// Faults that are kept; more of them are counted.
const FAULTS_MAX: usize = 100;

/// Reads one export.
#[derive(Debug)]
pub struct Verifier {
    key: Option<VerifierKey>,
    kept: Vec<Checkpoint>,
    header: Option<ExportHeader>,
    line: u64,
    /// The place of the entry to come.
    next: u64,
    /// Over the entries as they stand in the file; none once one was missing.
    ours: Option<Frontier>,
    /// Over the hashes that stand beside them.
    told: Option<Frontier>,
    /// The hashes of the told tree by levels of tiles, from the first above the leaves.
    levels: Vec<Vec<Hash>>,
    /// Leaves of the told tree that do not fill a tile yet.
    leaves: Vec<Hash>,
    /// Up to here a checkpoint agreed.
    agreed: u64,
    tiles_seen: u64,
    last_checkpoint: Option<u64>,
    verdict: Verdict,
}

impl Verifier {
    /// One that believes this key, or without one the key that the file names; and holds the file against these checkpoints,
    /// which were read with the same key.
    #[must_use]
    pub fn new(key: Option<VerifierKey>, mut kept: Vec<Checkpoint>) -> Self {
        kept.sort_by_key(|checkpoint| std::cmp::Reverse(checkpoint.head.size));
        Self {
            verdict: Verdict {
                is_export: false,
                origin: String::new(),
                key: key.clone(),
                entries: 0,
                checkpoints: 0,
                kept: 0,
                head: None,
                faults: Vec::new(),
                more_faults: 0,
            },
            key,
            kept,
            header: None,
            line: 0,
            next: 0,
            ours: None,
            told: None,
            levels: Vec::new(),
            leaves: Vec::new(),
            agreed: 0,
            tiles_seen: 0,
            last_checkpoint: None,
        }
    }

    /// Faults so far.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.verdict.faults
    }

    /// One more than the last entry of the file, as its first line says.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.header.as_ref().map(|header| header.size)
    }

    /// Looks at the next line, without its end.
    pub fn line(&mut self, line: &[u8]) {
        self.line += 1;
        if self.line > 1 && self.header.is_none() {
            return;
        }
        let read = std::str::from_utf8(line).ok().and_then(ExportLine::parse);
        match read {
            Some(ExportLine::Header(header)) if self.line == 1 => self.begin(header),
            Some(ExportLine::Entry {
                index,
                leaf_hash,
                leaf,
            }) if self.header.is_some() => self.entry(index, leaf_hash, leaf),
            Some(ExportLine::Checkpoint(note)) if self.header.is_some() => self.checkpoint(&note),
            Some(ExportLine::Tile(id, hashes)) if self.header.is_some() => self.tile(id, &hashes),
            _ => {
                let next = self.next;
                let text = if self.line == 1 {
                    "the file does not begin as an export does".to_owned()
                } else {
                    format!(
                        "is no line of an export, where entry {next} or what follows it should be"
                    )
                };
                self.fault(Found::Unreadable, None, text);
            }
        }
    }

    /// Ends the file; whether its last line had an end.
    #[must_use]
    pub fn finish(mut self, is_ended: bool) -> Verdict {
        self.line += 1;
        if self.header.is_none() && !self.verdict.faults.is_empty() {
            return self.verdict;
        }
        if !is_ended {
            self.fault(
                Found::Truncated,
                None,
                "the last line is cut off".to_owned(),
            );
        }
        if let Some(header) = self.header.clone() {
            self.end(&header);
        } else if self.verdict.faults.is_empty() {
            self.fault(Found::Truncated, None, "the file is empty".to_owned());
        }
        self.tell_beyond();
        if let Some(ours) = &self.ours {
            self.verdict.head = Some((ours.size(), ours.root()));
        }
        self.verdict
    }

    /// Kept checkpoints over more than the file has: one fault, for a witness file goes on while its server does.
    fn tell_beyond(&mut self) {
        let Some(kept) = self.kept.pop() else { return };
        let (size, next) = (kept.head.size, self.next);
        let others = match std::mem::take(&mut self.kept).len() {
            0 => String::new(),
            more => format!(", and {more} more cover more still"),
        };
        let text = format!(
            "a kept checkpoint covers {size} entries{others}, and the file ends before entry {next}: either entries were removed, or \
             the checkpoint was signed after the export; export anew, or give a copy of the witness file from before the export"
        );
        self.fault(Found::Truncated, Some(next..size), text);
    }

    fn begin(&mut self, header: ExportHeader) {
        self.verdict.is_export = true;
        let refused = |text: String| (Found::Unreadable, text);
        let mut problems = Vec::new();
        if header.format != EXPORT_FORMAT {
            let told = format!(
                "the export is of format {}, this program reads {EXPORT_FORMAT}",
                header.format
            );
            problems.push(refused(told));
        }
        match (&self.key, VerifierKey::parse(&header.key)) {
            (None, Ok(key)) => self.key = Some(key),
            (Some(known), Ok(key)) if *known == key => {}
            (Some(_), Ok(_)) => {
                let told =
                    "the file names another key than the one it is looked at with".to_owned();
                problems.push((Found::NotSigned, told));
            }
            (_, Err(error)) => {
                problems.push((Found::NotSigned, format!("the key of the file {error}")))
            }
        }
        if self
            .key
            .as_ref()
            .is_some_and(|key| key.name() != header.origin)
        {
            let told = "the file names another log than its key does".to_owned();
            problems.push((Found::NotSigned, told));
        }
        self.ours = header.frontier();
        if self.ours.is_none() || header.size < header.first {
            let told = "the first line does not tell where the log stood before the first entry";
            problems.push(refused(told.to_owned()));
        }
        self.told = self.ours.clone();
        self.next = header.first;
        self.agreed = header.first;
        self.verdict.origin = header.origin.clone();
        self.verdict.key = self.key.clone();
        self.header = Some(header);
        for (found, text) in problems {
            self.fault(found, None, text);
        }
        self.drop_earlier();
        self.hold_against_kept();
    }

    /// Kept checkpoints that end before the file begins.
    fn drop_earlier(&mut self) {
        while let Some(kept) = self.kept.pop_if(|kept| kept.head.size < self.next) {
            let text = format!(
                "the file begins with entry {}, so a kept checkpoint over {} entries cannot be compared with it; export from there on",
                self.next, kept.head.size
            );
            self.fault(Found::NotComparable, None, text);
        }
    }

    fn entry(&mut self, index: u64, told: Hash, leaf: &str) {
        self.verdict.entries += 1;
        let next = self.next;
        if self.tiles_seen > 0 {
            let text = format!("entry {index} stands behind the end of the log");
            self.fault(
                Found::OutOfPlace,
                Some(index..index.saturating_add(1)),
                text,
            );
            return;
        }
        let hash = leaf_hash(leaf.as_bytes());
        if hash != told {
            let text = format!("entry {index} is not the one that was logged in this place");
            self.fault(Found::Changed, Some(index..index.saturating_add(1)), text);
        }
        if index < next {
            let text = format!(
                "entry {index} stands where entry {next} has to: it was moved, repeated or inserted"
            );
            self.fault(Found::OutOfPlace, Some(index..index + 1), text);
            return;
        }
        if index > next {
            let text = if index - next == 1 {
                format!("entry {next} is missing")
            } else {
                format!("entries {next} to {} are missing", index - 1)
            };
            self.fault(Found::Missing, Some(next..index), text);
            // Nothing can be said any more of roots over what is missing.
            (self.ours, self.told) = (None, None);
        }
        self.next = index.saturating_add(1);
        if let (Some(ours), Some(frontier)) = (&mut self.ours, &mut self.told) {
            ours.push(hash);
            frontier.push(told);
            self.note_leaf(told);
        }
        self.hold_against_kept();
    }

    /// Keeps what the tiles above the leaves have to be. Only from the beginning of a log is that known.
    fn note_leaf(&mut self, leaf: Hash) {
        self.leaves.push(leaf);
        if self.leaves.len() < TILE_WIDTH {
            return;
        }
        let mut row = std::mem::take(&mut self.leaves);
        let mut level = 0;
        loop {
            while row.len() > 1 {
                let pairs = row.chunks_exact(2);
                row = pairs
                    .filter_map(|pair| match pair {
                        [left, right] => Some(node_hash(left, right)),
                        _ => None,
                    })
                    .collect();
            }
            let Some(hash) = row.first() else { return };
            if self.levels.len() <= level {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(level) else {
                return;
            };
            hashes.push(*hash);
            if !hashes.len().is_multiple_of(TILE_WIDTH) {
                return;
            }
            row = hashes
                .get(hashes.len() - TILE_WIDTH..)
                .unwrap_or_default()
                .to_vec();
            level += 1;
        }
    }

    fn checkpoint(&mut self, note: &str) {
        let Some(key) = self.key.clone() else { return };
        let agreed = self.agreed;
        let checkpoint = match Checkpoint::open(note, &key) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                self.last_checkpoint = Some(self.next);
                let entries = Some(agreed..self.next);
                return self.fault(Found::NotSigned, entries, unsigned(self.next, &error));
            }
        };
        let head = checkpoint.head;
        let is_first = self.last_checkpoint.is_none();
        if head.size != self.next
            || (!is_first && self.last_checkpoint >= Some(head.size))
            || self.tiles_seen > 0
        {
            let text = format!(
                "a checkpoint over {} entries stands where entry {} has to",
                head.size, self.next
            );
            return self.fault(Found::OutOfPlace, None, text);
        }
        self.last_checkpoint = Some(head.size);
        let (Some(ours), Some(told)) = (&self.ours, &self.told) else {
            return;
        };
        if ours.root() == head.root {
            // Hashes beside the entries that differ were told with their entries.
            self.told = self.ours.clone();
        } else if told.root() == head.root {
            // The entries that differ were told; from here on it is the logged ones that count.
            self.ours = self.told.clone();
        } else {
            let text = format!(
                "the signed root over the first {} entries is another one: something among entries {agreed} to {} was changed, and \
                 its hash with it",
                head.size,
                head.size.saturating_sub(1)
            );
            self.fault(Found::RootDiffers, Some(agreed..head.size), text);
            (self.ours, self.told) = (None, None);
            return;
        }
        self.agreed = head.size;
        self.verdict.checkpoints += 1;
    }

    /// Compares with the kept checkpoints that end here.
    fn hold_against_kept(&mut self) {
        while let Some(kept) = self.kept.pop_if(|kept| kept.head.size == self.next) {
            let Some(ours) = &self.ours else {
                let text = format!(
                    "a kept checkpoint over {} entries cannot be compared with a file in which they do not add up",
                    kept.head.size
                );
                self.fault(Found::NotComparable, None, text);
                continue;
            };
            // An entry that is not the logged one was told; that the logged ones are those of the checkpoint still counts.
            let told = self.told.as_ref().map(Frontier::root);
            if ours.root() == kept.head.root || told == Some(kept.head.root) {
                self.verdict.kept += 1;
                continue;
            }
            let size = kept.head.size;
            let text = format!(
                "a checkpoint that was kept over {size} entries was signed for another log: entries 0 to {} of this file are not those \
                 of then",
                size.saturating_sub(1)
            );
            self.fault(Found::Forked, Some(0..size), text);
        }
        if self
            .kept
            .last()
            .is_some_and(|kept| kept.head.size < self.next)
        {
            self.drop_earlier();
        }
    }

    fn tile(&mut self, id: TileId, hashes: &[Hash]) {
        let is_end = Some(self.next) >= self.size();
        let place = self.wanted_tile();
        self.tiles_seen += 1;
        if !is_end || place != Some((id, hashes.len())) {
            let text = format!(
                "the tile {} stands where it has no place",
                id.path(hashes.len())
            );
            return self.fault(Found::OutOfPlace, None, text);
        }
        if self.told.is_none() {
            return;
        }
        if self.hashes_of(id) != Some(hashes) {
            let text = format!(
                "the tile {} is not the one over the logged entries",
                id.path(hashes.len())
            );
            self.fault(Found::TileDiffers, None, text);
        }
    }

    /// The next tile above the leaves. Those of a file that does not begin with the first entry are not known.
    fn wanted_tile(&self) -> Option<(TileId, usize)> {
        let header = self.header.as_ref().filter(|header| header.first == 0)?;
        upper_tile(header.size, self.tiles_seen)
    }

    fn hashes_of(&self, id: TileId) -> Option<&[Hash]> {
        let level = self.levels.get(usize::from(id.level).checked_sub(1)?)?;
        let first = usize::try_from(id.index).ok()?.checked_mul(TILE_WIDTH)?;
        let end = level.len().min(first.checked_add(TILE_WIDTH)?);
        level.get(first..end)
    }

    fn end(&mut self, header: &ExportHeader) {
        let next = self.next;
        if next < header.size {
            let text = format!(
                "the file ends before entry {next}; its first line says that there are {}",
                header.size
            );
            self.fault(Found::Truncated, Some(next..header.size), text);
        } else if next > header.size {
            let text = format!(
                "the first line says that the log has {} entries, and there are more",
                header.size
            );
            self.fault(Found::OutOfPlace, Some(header.size..next), text);
        }
        if self.last_checkpoint != Some(next) {
            let entries = Some(self.last_checkpoint.unwrap_or(header.first)..next);
            let text =
                "no checkpoint covers the last entries: the end of the file is missing".to_owned();
            self.fault(Found::Truncated, entries, text);
        }
        let all = self.verdict.checkpoints;
        if all != header.checkpoints && self.verdict.faults.is_empty() {
            let text = format!(
                "the first line says that there are {} checkpoints, here are {all}",
                header.checkpoints
            );
            self.fault(Found::Missing, None, text);
        }
        if self.wanted_tile().is_some() {
            let text = "the tiles at the end of the file are missing".to_owned();
            self.fault(Found::Truncated, None, text);
        }
    }

    fn fault(&mut self, found: Found, entries: Option<Range<u64>>, text: String) {
        if self.verdict.faults.len() >= FAULTS_MAX {
            self.verdict.more_faults += 1;
            return;
        }
        let line = self.line;
        self.verdict.faults.push(Fault {
            found,
            entries,
            line,
            text,
        });
    }
}

fn unsigned(next: u64, error: &CheckpointError) -> String {
    format!("the checkpoint before entry {next} {error}")
}

#[cfg(test)]
mod tests {
    use super::super::entry::tests::entry;
    use super::super::note::tests::key;
    use super::super::tile::Edge;
    use super::*;
    use crate::audit::{TreeHead, upper_tiles};

    /// A log of so many entries with a checkpoint behind each of these sizes and the last.
    struct Log {
        leaves: Vec<String>,
        sizes: Vec<u64>,
    }

    impl Log {
        fn of(count: u64, every: u64) -> Self {
            let leaves = (0..count).map(|number| entry(number).leaf()).collect();
            let sizes = (0..count).filter(|size| size.is_multiple_of(every));
            Self {
                leaves,
                sizes: sizes.chain([count]).collect(),
            }
        }

        fn head(&self, size: u64) -> TreeHead {
            let mut frontier = Frontier::default();
            let leaves = self.leaves.iter().take(at(size));
            leaves.for_each(|leaf| frontier.push(leaf_hash(leaf.as_bytes())));
            TreeHead {
                size,
                root: frontier.root(),
            }
        }

        fn export(&self, first: u64) -> Vec<String> {
            let size = self.leaves.len() as u64;
            let hashes: Vec<Hash> = self
                .leaves
                .iter()
                .map(|leaf| leaf_hash(leaf.as_bytes()))
                .collect();
            let mut before = Frontier::default();
            hashes
                .iter()
                .take(at(first))
                .for_each(|hash| before.push(*hash));
            let sizes: Vec<u64> = self
                .sizes
                .iter()
                .copied()
                .filter(|size| *size >= first)
                .collect();
            let mut lines = vec![
                ExportLine::Header(ExportHeader {
                    format: EXPORT_FORMAT,
                    origin: key().verifier().name().to_owned(),
                    key: key().verifier().to_string(),
                    first,
                    size,
                    checkpoints: sizes.len() as u64,
                    peaks: before
                        .peaks()
                        .iter()
                        .map(|peak| crate::domain::hex::hex(&peak.0))
                        .collect(),
                })
                .text(),
            ];
            for index in first..=size {
                if sizes.contains(&index) {
                    let note = Checkpoint::sign(&self.head(index), &key());
                    lines.push(ExportLine::Checkpoint(note).text());
                }
                if let Some(leaf) = self.leaves.get(at(index)) {
                    let leaf_hash = leaf_hash(leaf.as_bytes());
                    lines.push(
                        ExportLine::Entry {
                            index,
                            leaf_hash,
                            leaf,
                        }
                        .text(),
                    );
                }
            }
            if first == 0 {
                let tiles: std::collections::BTreeMap<_, _> =
                    Edge::default().append(hashes).into_iter().collect();
                let tile = |(id, width): (TileId, usize)| {
                    ExportLine::Tile(id, tiles[&id][..width].to_vec()).text()
                };
                lines.extend(upper_tiles(size).map(tile));
            }
            lines
        }
    }

    fn at(index: u64) -> usize {
        usize::try_from(index).unwrap()
    }

    fn verify(lines: &[impl AsRef<[u8]>], kept: &[Checkpoint]) -> Verdict {
        let mut verifier = Verifier::new(Some(key().verifier().clone()), kept.to_vec());
        lines.iter().for_each(|line| verifier.line(line.as_ref()));
        verifier.finish(true)
    }

    fn kept(head: TreeHead) -> Checkpoint {
        let origin = key().verifier().name().to_owned();
        Checkpoint { origin, head }
    }

    /// The first fault, and the entries that it names.
    fn first(verdict: &Verdict) -> (Found, Option<Range<u64>>) {
        let fault = verdict.faults.first().expect("a fault");
        (fault.found, fault.entries.clone())
    }

    /// What the first line claims costs nothing: neither memory nor time.
    #[test]
    fn a_file_that_claims_a_huge_log_is_cut_off() {
        let good = Log::of(600, 100).export(0);
        let tile = good
            .iter()
            .position(|line| line.starts_with("{\"tile\""))
            .unwrap();
        for claimed in [10_000_000_000_000, i64::MAX as u64, u64::MAX] {
            let mut lines = good.clone();
            lines[0] = lines[0].replace("\"size\":600", &format!("\"size\":{claimed}"));
            let verdict = verify(&lines, &[]);
            let found: Vec<Found> = verdict.faults.iter().map(|fault| fault.found).collect();
            assert_eq!(found[0], Found::OutOfPlace, "{found:?}");
            assert!(found.contains(&Found::Truncated), "{found:?}");
            let verdict = verify(&lines[..tile], &[]);
            let fault = &verdict.faults[0];
            assert_eq!(
                (fault.found, &fault.entries),
                (Found::Truncated, &Some(600..claimed))
            );
        }
    }

    #[test]
    fn what_is_no_export_is_one_fault() {
        let lines = vec!["no export"; 300];
        let verdict = verify(&lines, &[kept(Log::of(3, 1).head(3))]);
        assert_eq!((verdict.faults.len(), verdict.more_faults), (1, 0));
        assert!(!verdict.is_export && !verdict.is_whole());
        assert!(verify(&Log::of(3, 1).export(0), &[]).is_export);
    }

    #[test]
    fn checkpoints_that_were_signed_after_the_export_are_one_fault() {
        let log = Log::of(40, 10);
        let later = Log::of(90, 10);
        let kept: Vec<Checkpoint> = [30, 50, 60, 90].map(|size| kept(later.head(size))).into();
        let verdict = verify(&log.export(0), &kept);
        assert_eq!(
            (verdict.faults.len(), verdict.kept),
            (1, 1),
            "{:?}",
            verdict.faults
        );
        let fault = &verdict.faults[0];
        assert_eq!(
            (fault.found, &fault.entries),
            (Found::Truncated, &Some(40..50))
        );
        for part in ["removed", "signed after", "and 2 more", "export anew"] {
            assert!(fault.text.contains(part), "{}", fault.text);
        }
    }

    #[test]
    fn p15_a_log_that_nobody_touched_is_whole() {
        for (count, every) in [
            (0, 1),
            (1, 1),
            (7, 3),
            (256, 100),
            (257, 256),
            (700, 31),
            (66_000, 65_536),
        ] {
            let log = Log::of(count, every);
            let kept = [kept(log.head(count / 2)), kept(log.head(count))];
            let verdict = verify(&log.export(0), &kept);
            assert!(verdict.is_whole(), "{count}: {:?}", verdict.faults);
            assert_eq!((verdict.entries, verdict.kept), (count, 2));
            assert_eq!(verdict.checkpoints, log.sizes.len() as u64);
            let head = log.head(count);
            assert_eq!(verdict.head, Some((head.size, head.root)));
        }
        let log = Log::of(300, 50);
        for first in [1, 50, 255, 256, 299, 300] {
            let verdict = verify(&log.export(first), &[kept(log.head(300))]);
            assert!(verdict.is_whole(), "{first}: {:?}", verdict.faults);
        }
        // Whose log it is, then only the file says.
        let mut verifier = Verifier::new(None, Vec::new());
        log.export(0)
            .iter()
            .for_each(|line| verifier.line(line.as_bytes()));
        let verdict = verifier.finish(true);
        assert!(verdict.is_whole());
        assert_eq!(verdict.key.as_ref(), Some(key().verifier()));
    }

    #[test]
    fn p15_what_was_done_is_named_with_its_entries() {
        let log = Log::of(40, 10);
        let good = log.export(0);
        let line_of = |index: u64| {
            let begin = format!(r#"{{"index":{index},"#);
            good.iter()
                .position(|line| line.starts_with(&begin))
                .unwrap()
        };
        let with = |change: &dyn Fn(&mut Vec<String>)| {
            let mut lines = good.clone();
            change(&mut lines);
            verify(&lines, &[])
        };
        let edited = with(&|lines| lines[line_of(17)] = lines[line_of(17)].replace("deny", "pass"));
        assert_eq!(first(&edited), (Found::Changed, Some(17..18)));
        assert_eq!(
            edited.faults.len(),
            1,
            "what was signed shows what was logged: {:?}",
            edited.faults
        );

        // With its hash, and the tree above it: the checkpoint before still agrees, the one after does not.
        let rewritten = with(&|lines| {
            let leaf = entry(1_017).leaf();
            let (index, leaf_hash) = (17, leaf_hash(leaf.as_bytes()));
            lines[line_of(17)] = ExportLine::Entry {
                index,
                leaf_hash,
                leaf: &leaf,
            }
            .text();
        });
        assert_eq!(first(&rewritten), (Found::RootDiffers, Some(10..20)));

        let removed = with(&|lines| drop(lines.remove(line_of(17))));
        assert_eq!(first(&removed), (Found::Missing, Some(17..18)));
        let removed = with(&|lines| drop(lines.drain(line_of(12)..line_of(15))));
        assert_eq!(first(&removed), (Found::Missing, Some(12..15)));
        let repeated = with(&|lines| lines.insert(line_of(17), good[line_of(12)].clone()));
        assert_eq!(first(&repeated), (Found::OutOfPlace, Some(12..13)));
        let swapped = with(&|lines| lines.swap(line_of(12), line_of(13)));
        assert_eq!(first(&swapped), (Found::Missing, Some(12..13)));
        let cut = with(&|lines| lines.truncate(line_of(33)));
        assert_eq!(first(&cut), (Found::Truncated, Some(33..40)));
        let signed_by_another = with(&|lines| {
            let other = crate::audit::SigningKey::generate("example.com/log").unwrap();
            let end = lines.len() - 1;
            lines[end] = ExportLine::Checkpoint(Checkpoint::sign(&log.head(40), &other)).text();
        });
        assert_eq!(first(&signed_by_another), (Found::NotSigned, Some(30..40)));
        let without_checkpoint = with(&|lines| drop(lines.remove(line_of(10) - 1)));
        assert_eq!(first(&without_checkpoint), (Found::Missing, None));
        assert_eq!(first(&verify(&[""; 0], &[])), (Found::Truncated, None));
    }

    /// Whoever has the database and the key, too, makes a log that is whole. Only what was kept elsewhere tells.
    #[test]
    fn p15_a_log_that_was_written_anew_is_found_by_a_kept_checkpoint() {
        let log = Log::of(40, 10);
        let mut other = Log::of(40, 10);
        other.leaves[17] = entry(1_017).leaf();
        let lines = other.export(0);
        assert!(verify(&lines, &[]).is_whole());
        assert!(
            verify(&lines, &[kept(log.head(17))]).is_whole(),
            "of before"
        );
        let forked = verify(&lines, &[kept(log.head(17)), kept(log.head(30))]);
        assert_eq!(first(&forked), (Found::Forked, Some(0..30)));
        assert_eq!(forked.kept, 1);
        // Shortened, with the end signed anew.
        let mut short = Log::of(30, 10);
        short.sizes.retain(|size| *size <= 30);
        let cut = verify(&short.export(0), &[kept(log.head(40))]);
        assert_eq!(first(&cut), (Found::Truncated, Some(30..40)));
        let late = verify(&log.export(20), &[kept(log.head(10))]);
        assert_eq!(first(&late), (Found::NotComparable, None));
    }

    #[test]
    fn tiles_that_are_not_those_of_the_log_are_found() {
        let log = Log::of(1_000, 400);
        let good = log.export(0);
        let last = good.len() - 1;
        let (Some(ExportLine::Tile(id, hashes)), true) = (
            ExportLine::parse(&good[last]),
            good[last - 1].contains("checkpoint"),
        ) else {
            panic!("{}", good[last]);
        };
        let mut other = hashes.clone();
        other[1].0[7] ^= 1;
        for (tile, found) in [
            (ExportLine::Tile(id, other), Found::TileDiffers),
            (
                ExportLine::Tile(id, hashes[..2].to_vec()),
                Found::OutOfPlace,
            ),
            (
                ExportLine::Tile(TileId { index: 1, ..id }, hashes.clone()),
                Found::OutOfPlace,
            ),
        ] {
            let mut lines = good.clone();
            lines[last] = tile.text();
            assert_eq!(first(&verify(&lines, &[])).0, found);
        }
        assert_eq!(first(&verify(&good[..last], &[])).0, Found::Truncated);
    }

    /// Random changes of the lines and bytes of a file, each of which is found. `DIALGATE_MUTATIONS` says how many.
    #[test]
    fn p15_no_random_change_of_an_export_is_missed() {
        let rounds: u32 =
            std::env::var("DIALGATE_MUTATIONS").map_or(150, |count| count.parse().unwrap());
        // Vigna's xorshift64*: the same changes each time.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut below = |bound: usize| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            at(state.wrapping_mul(0x2545_F491_4F6C_DD1D) % bound as u64)
        };
        let log = Log::of(600, 90);
        let good = log.export(0);
        let whole = kept(log.head(600));
        for round in 0..rounds {
            let mut lines: Vec<Vec<u8>> =
                good.iter().map(|line| line.clone().into_bytes()).collect();
            let line = below(lines.len());
            let other = below(lines.len());
            match below(6) {
                0 => {
                    let byte = below(lines[line].len());
                    lines[line][byte] ^= 1 << below(8);
                }
                1 => drop(lines.remove(line)),
                2 => lines.insert(other, lines[line].clone()),
                3 if lines[line] != lines[other] => lines.swap(line, other),
                4 => lines.truncate(line),
                _ => {
                    let cut = below(lines[line].len());
                    lines[line].truncate(cut);
                }
            }
            let verdict = verify(&lines, std::slice::from_ref(&whole));
            assert!(
                !verdict.is_whole(),
                "round {round}: line {line}, other {other}"
            );
        }
        assert!(verify(&good, &[whole]).is_whole());
    }
}
