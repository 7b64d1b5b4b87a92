//! One record of two: what this process noted while another one had the state directory, and what that one left there.

use std::time::SystemTime;

use super::VersionKey;
use super::record::{Entry, MAX_ENTRIES, Record};

/// Joins what this process knows (`ours`) with what is on disk (`theirs`). Both began with `base`: what differs from it was
/// changed by its side, and where both changed something, this process is the later one.
pub(super) fn join(base: &Record, ours: Record, theirs: Record, now: SystemTime) -> Record {
    fn newer<T: PartialEq>(base: &T, ours: T, theirs: T) -> T {
        if ours == *base { theirs } else { ours }
    }
    let live = ours.live.clone().or_else(|| theirs.live.clone());
    let left = theirs.live.clone().filter(|left| live.as_ref() != Some(left));
    let mut joined = Record {
        entries: entries(&ours, &theirs).into(),
        live,
        pinned: newer(&base.pinned, ours.pinned, theirs.pinned),
        held: newer(&base.held, ours.held, theirs.held),
        marks: newer(&base.marks, ours.marks, theirs.marks),
        kept: Vec::new(),
    };
    let kept: Vec<VersionKey> = ours.kept.into_iter().chain(theirs.kept).collect();
    // The newest is kept last, and so stands first.
    kept.iter().rev().for_each(|key| joined.keep(key));
    if let Some(left) = left {
        joined.ended(&left, None, "the process that it served in has ended", now);
    }
    joined
}

/// The newest of both, newest first; what both know, once.
fn entries(ours: &Record, theirs: &Record) -> Vec<Entry> {
    let is_known = |entry: &&Entry| {
        let same = |known: &Entry| known.version == entry.version && known.at == entry.at;
        // Both took up the same file: the one that was first says since when.
        let serves = entry.live_from.is_some() && entry.ended.is_none();
        let serves_too = |known: &Entry| {
            serves && known.version == entry.version && known.live_from.is_some() && known.ended.is_none()
        };
        theirs.entries.iter().any(|known| same(known) || serves_too(known))
    };
    let own = ours.entries.iter().filter(|entry| !is_known(entry));
    let mut all: Vec<Entry> = own.chain(&theirs.entries).cloned().collect();
    all.sort_by_key(|entry| std::cmp::Reverse(entry.at));
    all.truncate(MAX_ENTRIES);
    all
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::record::Source;
    use super::*;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    fn key(byte: u8) -> VersionKey {
        VersionKey { sha256: [byte; 32], ..VersionKey::default() }
    }

    fn served(record: &mut Record, byte: u8, second: u64) {
        record.went_live(&key(byte).version(), Source::File, at(second));
        record.keep(&key(byte));
    }

    #[test]
    fn a_successor_goes_on_with_what_its_predecessor_left() {
        let mut base = Record::default();
        served(&mut base, 1, 1);
        // Both see a new file; the one that ends marks a version and pins another meanwhile.
        let (mut ours, mut theirs) = (base.clone(), base.clone());
        served(&mut theirs, 2, 10);
        served(&mut ours, 2, 11);
        theirs.mark("bad", "traps");
        theirs.pinned = Some(key(2).version());
        let joined = join(&base, ours, theirs.clone(), at(20));
        assert_eq!(joined, theirs);
    }

    #[test]
    fn what_this_process_did_meanwhile_holds() {
        let mut base = Record { pinned: Some("old".to_owned()), ..Record::default() };
        base.mark("bad", "traps");
        served(&mut base, 1, 1);
        let (mut ours, mut theirs) = (base.clone(), base.clone());
        ours.pinned = None;
        ours.marks.clear();
        served(&mut theirs, 2, 10);
        served(&mut ours, 3, 12);
        let joined = join(&base, ours, theirs, at(20));
        assert_eq!((joined.pinned.as_deref(), joined.marks.len()), (None, 0));
        assert_eq!(joined.live, Some(key(3).version()));
        assert_eq!(joined.kept, [key(3), key(1), key(2)]);
        let shown: Vec<_> =
            joined.entries.iter().map(|entry| (entry.version.as_str(), entry.ended.is_some())).collect();
        let (first, second, third) = (key(1).version(), key(2).version(), key(3).version());
        assert_eq!(shown, [(&*third, false), (&*second, true), (&*first, true)]);
    }

    #[test]
    fn there_are_never_too_many() {
        let base = Record::default();
        let (mut ours, mut theirs) = (base.clone(), base.clone());
        for second in 0..40 {
            served(if second % 2 == 0 { &mut ours } else { &mut theirs }, second, u64::from(second));
        }
        let joined = join(&base, ours, theirs, at(50));
        assert_eq!(joined.entries.len(), MAX_ENTRIES);
        assert!(joined.kept.len() <= super::super::record::MAX_KEPT + 3, "{}", joined.kept.len());
        assert_eq!(joined.entries[0].version, key(39).version());
    }
}
