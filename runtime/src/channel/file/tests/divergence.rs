//! A channel and a sink, one of which has lost a part of its state.

use std::path::Path;

use super::*;
use crate::channel::{LedgerLoss, Reached};

fn copy(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).ok();
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

impl Open {
    /// Takes and acknowledges the next batch as a sink with a ledger does, and returns the state of this sink.
    async fn deliver(&mut self, mark: u64) -> Recovered {
        let lease = self.lease().await;
        let (partition, incarnation) = self.reader.incarnation().unwrap();
        let identities = lease.batch.identities().unwrap();
        assert_eq!(identities.partitions(), std::slice::from_ref(&partition));
        let through = identities.position_of(lease.batch.rows() - 1);
        self.reader.keep_mark(mark);
        lease.acknowledgement.done();
        let reached = Reached { through, incarnation: Some(incarnation), ..Reached::default() };
        Recovered { reached: BTreeMap::from([(partition, reached)]), mark, ..Recovered::default() }
    }

    /// Returns the message with which the start refuses this sink; the folder's name is replaced by `DIR`.
    fn refusal(&self, recovered: &Recovered) -> String {
        let refused = self.channel.check_recovered("sink", recovered).unwrap_err().to_string();
        let incarnation = recovered.reached.values().next().and_then(|reached| reached.incarnation);
        let incarnation = incarnation.map_or("none".to_owned(), |incarnation| incarnation.to_string());
        refused.replace(&folder_name(&self.channel), "DIR").replace(&incarnation, "INCARNATION")
    }
}

#[tokio::test]
async fn a_run_that_gives_no_numbers_has_no_incarnation_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(options(folder.path())).await;
    assert_eq!(first.channel.incarnation(), None);
    first.put_durably(0..10).await;
    let incarnation = first.channel.incarnation().unwrap();
    assert_eq!(
        first.reader.incarnation(),
        first.channel.partition().map(|partition| (partition, incarnation))
    );
    drop(first);
    for _ in 0..3 {
        let again = open(options(folder.path())).await;
        assert_eq!(again.channel.incarnation(), Some(incarnation));
    }
    let next = open(options(folder.path())).await;
    next.put_durably(10..20).await;
    let other = next.channel.incarnation().unwrap();
    assert!(other != incarnation);
    assert_eq!([other, incarnation].map(|known| next.channel.knows_incarnation(known)), [Some(true); 2]);
    assert_eq!(next.channel.knows_incarnation(Incarnation::from_bytes([1; 16])), Some(false));
}

#[tokio::test]
async fn a_restored_directory_is_refused_until_the_loss_is_accepted() {
    let (folder, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut first = open(options(folder.path())).await;
    first.put_durably(0..10).await;
    let early = first.deliver(1).await;
    first.put_durably(10..15).await;
    first.channel.shut().await.unwrap();
    drop(first);
    copy(folder.path(), backup.path());
    let mut second = open(options(folder.path())).await;
    second.channel.check_recovered("sink", &early).unwrap();
    second.put_durably(15..30).await;
    second.deliver(2).await;
    let late = second.deliver(3).await;
    drop(second);
    copy(backup.path(), folder.path());
    let third = open(options(folder.path())).await;
    insta::assert_snapshot!(third.refusal(&late), @"reader sink has had the events of this channel up to number 30, and DIR has them up to 15: events 16 to 30 (15 of them) are missing in it. Its log was cut or damaged at its end, or was put back from a backup. No event was delivered, skipped or removed: put the directory back that belongs here, or go on without what is missing with `weir channel repair --accept-loss DIR`, which reads the file `claim` that this start has left there");
    // The refused start has changed nothing for a sink that agrees with the channel.
    third.channel.check_recovered("sink", &early).unwrap();
    third.refusal(&late);
    drop(third);
    let verification = verify(folder.path(), None).unwrap();
    assert_eq!(verification.damages[0].file, claim::CLAIM);
    let repair = repair(folder.path(), None).unwrap();
    assert_eq!((repair.made, repair.lost_events, repair.kept_events), (true, 15, 5));
    assert_eq!(verify(folder.path(), None).unwrap().damages, []);
    let mut fourth = open(options(folder.path())).await;
    fourth.channel.check_recovered("sink", &late).unwrap();
    // The kept events still have their numbers, and new events get numbers that the sink has never seen.
    assert_eq!(fourth.deliver(4).await.reached.values().next().unwrap().through, 15);
    fourth.put_durably(15..20).await;
    let last = fourth.deliver(5).await;
    assert_eq!(last.reached.values().next().unwrap().through, 35);
    drop(fourth);
    open(options(folder.path())).await.channel.check_recovered("sink", &last).unwrap();
}

#[tokio::test]
async fn a_log_that_lost_its_last_group_is_refused_and_the_missing_events_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = open(options(folder.path())).await;
    first.put_durably(0..10).await;
    first.put_durably(10..30).await;
    first.deliver(1).await;
    let known = first.deliver(2).await;
    // The files as a kill leaves them.
    let killed = tempfile::tempdir().unwrap();
    copy(folder.path(), killed.path());
    change(killed.path(), &segment::segment_name(0), |bytes| {
        let body = bytes.windows(2).rposition(|two| two == b"29").unwrap();
        bytes[body] ^= 1;
    });
    let torn = inspect(killed.path(), None).unwrap().torn.unwrap();
    assert_eq!((torn.events, torn.bytes % segment::PAGE), (20, 0));
    let second = open(options(killed.path())).await;
    insta::assert_snapshot!(second.refusal(&known), @"reader sink has had the events of this channel up to number 30, and DIR has them up to 10: events 11 to 30 (20 of them) are missing in it. Its log was cut or damaged at its end, or was put back from a backup. No event was delivered, skipped or removed: put the directory back that belongs here, or go on without what is missing with `weir channel repair --accept-loss DIR`, which reads the file `claim` that this start has left there");
}

#[tokio::test]
async fn a_deleted_or_restored_ledger_is_refused_until_the_loss_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = open(options(folder.path())).await;
    first.put_durably(0..10).await;
    first.put_durably(10..20).await;
    let early = first.deliver(1).await;
    let late = first.deliver(2).await;
    first.channel.shut().await.unwrap();
    drop(first);
    let second = open(options(folder.path())).await;
    second.channel.check_recovered("sink", &late).unwrap();
    insta::assert_snapshot!(second.refusal(&Recovered::default()), @"DIR knows of commit number 2 of reader sink, which remembers no commit: its ledger was deleted, put back from a backup, or is another one than before. What it does not remember would come again. No event was delivered, skipped or removed: put the ledger back that belongs here, or go on without what is missing with `weir channel repair --accept-loss DIR`, which reads the file `claim` that this start has left there");
    assert!(second.refusal(&early).contains("which remembers no later one than 1: "));
    second.refusal(&Recovered::default());
    drop(second);
    repair(folder.path(), None).unwrap();
    let third = open(options(folder.path())).await;
    third.channel.check_recovered("sink", &Recovered::default()).unwrap();
    // The sink learns the mark that the channel knows, so that its ledger goes on beyond it.
    assert_eq!(third.channel.accepts_loss("sink", &Recovered::default()), Some(2));
}

#[tokio::test]
async fn a_ledger_that_its_files_show_to_be_old_is_refused_until_the_loss_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = open(options(folder.path())).await;
    first.put_durably(0..10).await;
    let known = first.deliver(7).await;
    first.channel.shut().await.unwrap();
    drop(first);
    // Channel and ledger were restored together: they agree with each other, but not with the files.
    let forgotten = LedgerLoss { what: "the ledger knows nothing of a file".into(), remedy: String::new() };
    let old = Recovered { ledger_loss: Some(forgotten), ..known.clone() };
    let second = open(options(folder.path())).await;
    insta::assert_snapshot!(second.refusal(&old), @"the ledger knows nothing of a file. What it has forgotten would come again. No event was delivered, skipped or removed: put the ledger, with the channel's directory, back that belongs here, or go on without what is missing with `weir channel repair --accept-loss DIR`, which reads the file `claim` that this start has left there");
    assert_eq!(second.channel.accepts_loss("sink", &old), None);
    drop(second);
    assert!(repair(folder.path(), None).unwrap().made);
    let third = open(options(folder.path())).await;
    third.channel.check_recovered("sink", &old).unwrap();
    assert_eq!(third.channel.accepts_loss("sink", &old), Some(7));
    let further = Recovered { mark: 8, ..old.clone() };
    assert_eq!(third.channel.accepts_loss("sink", &further), None);
    assert_eq!(third.channel.accepts_loss("other", &old), None);
    // The acceptance is valid only for the accepted state.
    third.channel.check_recovered("sink", &Recovered { mark: 8, ..known }).unwrap();
    assert_eq!(third.channel.accepts_loss("sink", &old), None);
}

#[tokio::test]
async fn another_directory_than_the_ledger_knows_is_refused_until_it_is_accepted() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut first = open(options(folder.path())).await;
    first.put_durably(0..10).await;
    let mut known = first.deliver(1).await;
    let second = open(options(other.path())).await;
    let partition = first.channel.partition().unwrap().name().to_owned();
    insta::assert_snapshot!(second.refusal(&known).replace(&partition, "channel OLD"), @"reader sink has had events up to number 10 of channel OLD, and none of the channel in DIR: that directory was deleted, or is another one than before. What its sources still have would come again. No event was delivered, skipped or removed: put the directory back that belongs here, or go on without what is missing with `weir channel repair --accept-loss DIR`, which reads the file `claim` that this start has left there");
    drop(second);
    repair(other.path(), None).unwrap();
    let third = open(options(other.path())).await;
    third.channel.check_recovered("sink", &known).unwrap();
    // A partition of a volatile channel does not count as a missing channel.
    let (_, reached) = known.reached.pop_first().unwrap();
    known.reached.insert(Partition::new("buffer/in/p"), reached);
    drop(third);
    let fresh = tempfile::tempdir().unwrap();
    open(options(fresh.path())).await.channel.check_recovered("sink", &known).unwrap();
}

#[tokio::test]
async fn a_directory_that_another_one_took_the_place_of_is_refused_until_it_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = open(options(folder.path())).await;
    first.put_durably(0..10).await;
    let mut known = first.deliver(4).await;
    let own = first.channel.partition().unwrap();
    first.channel.shut().await.unwrap();
    drop(first);
    known.reached.entry(own.clone()).and_modify(|own| (own.came, own.read) = (1, 4));
    let other = |through, came, read| {
        let incarnation = Some(Incarnation::from_bytes([9; 16]));
        let mut known = Recovered { mark: read, ..known.clone() };
        let partition = Partition::new("channel OTHER");
        known.reached.insert(partition, Reached { through, incarnation, came, read });
        known
    };
    // One that the sink has read beside it, and one that has brought nothing.
    for known in [other(20, 1, 9), other(20, 4, 9), other(0, 5, 9)] {
        open(options(folder.path())).await.channel.check_recovered("sink", &known).unwrap();
    }
    let second = open(options(folder.path())).await;
    let returns = other(20, 5, 9);
    insta::assert_snapshot!(second.refusal(&returns), @"reader sink has had events up to number 20 of channel OTHER, which came in the place of the channel in DIR after this one was read last: what came by the one may come again by the other. No event was delivered, skipped or removed: put the directory of the other one back that belongs here, or go on without what is missing with `weir channel repair --accept-loss DIR`, which reads the file `claim` that this start has left there");
    drop(second);
    assert!(repair(folder.path(), None).unwrap().made);
    let third = open(options(folder.path())).await;
    third.channel.check_recovered("sink", &returns).unwrap();
    assert_eq!(third.channel.accepts_loss("sink", &returns), Some(4));
    drop(third);
    // The sink has noted that this channel is read again.
    let mut noted = other(20, 5, 9);
    noted.mark = 10;
    noted.reached.entry(own).and_modify(|own| (own.came, own.read) = (10, 10));
    let fourth = open(options(folder.path())).await;
    fourth.channel.check_recovered("sink", &noted).unwrap();
    assert_eq!(fourth.channel.accepts_loss("sink", &noted), None);
}

#[tokio::test]
async fn the_end_of_a_cleanly_closed_log_is_never_taken_for_torn() {
    let folder = tempfile::tempdir().unwrap();
    let open_one = open(options(folder.path())).await;
    open_one.put_durably(0..10).await;
    open_one.channel.shut().await.unwrap();
    drop(open_one);
    let storage = Directory::open(folder.path()).unwrap();
    let end = survey::read_superblock(&storage).unwrap().unwrap().closed_at.unwrap();
    let last_page = (end.offset - segment::PAGE) as usize;
    change(folder.path(), &segment::segment_name(end.segment), |bytes| {
        bytes[last_page..last_page + segment::PAGE as usize].fill(0);
    });
    let damages = verify(folder.path(), None).unwrap().damages;
    assert_eq!(damages.len(), 1, "{damages:?}");
    let refused = refusal_of(folder.path()).await;
    assert!(refused.contains("0000000000000000.segment, byte "), "{refused}");
}

#[tokio::test]
async fn a_log_that_was_closed_without_space_for_a_checkpoint_has_no_torn_end() {
    let folder = tempfile::tempdir().unwrap();
    let open_one = open(options(folder.path())).await;
    open_one.put_durably(0..10).await;
    open_one.put_durably(10..20).await;
    let killed = tempfile::tempdir().unwrap();
    copy(folder.path(), killed.path());
    let storage = Directory::open(killed.path()).unwrap();
    let superblock = survey::read_superblock(&storage).unwrap().unwrap();
    let found = survey::survey(&storage, superblock).unwrap();
    let (segment, end) = found.segments.last_key_value().map(|(number, info)| (*number, info.end)).unwrap();
    // A close writes this when the disk is full.
    let closed_at = Some(segment::Location { segment, offset: end });
    let generation = superblock.generation + 1;
    let closed = superblock::Superblock { closed_at, generation, ..superblock };
    log::replace_superblock(&storage, &closed).unwrap();
    change(killed.path(), &segment::segment_name(segment), |bytes| {
        bytes[end as usize - segment::PAGE as usize + 70] ^= 1;
    });
    assert_eq!(verify(killed.path(), None).unwrap().damages.len(), 1);
    let refused = refusal_of(killed.path()).await;
    assert!(refused.contains("a record can't be read, and it was on disk once"), "{refused}");
}

#[tokio::test]
async fn a_segment_that_is_shorter_than_it_was_made_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let open_one = open(options(folder.path())).await;
    for round in 0..5 {
        open_one.put_durably(round * 10..round * 10 + 10).await;
    }
    drop(open_one);
    let name = folder.path().join(segment::segment_name(0));
    let whole = std::fs::read(&name).unwrap();
    for length in [whole.len() - 1, 20_000, 5_000, 4_096, 100, 0] {
        std::fs::write(&name, &whole[..length]).unwrap();
        let verification = verify(folder.path(), None).unwrap();
        assert!(!verification.damages.is_empty(), "cut to {length} bytes");
        let refused = refusal_of(folder.path()).await;
        assert!(refused.contains("0000000000000000.segment, byte "), "cut to {length} bytes: {refused}");
    }
}

/// Whatever a sink has had of what was cut off, it is asked once, by the damage.
#[tokio::test]
async fn one_repair_is_enough_for_a_segment_that_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = open(options(folder.path())).await;
    first.put_durably(0..10).await;
    first.deliver(1).await;
    drop(first);
    let mut second = open(options(folder.path())).await;
    second.put_durably(10..30).await;
    let known = second.deliver(2).await;
    drop(second);
    let name = folder.path().join(segment::segment_name(0));
    let whole = std::fs::read(&name).unwrap();
    let lives: Vec<usize> = (1..whole.len() / 4_096).filter(|page| whole[page * 4_096] == 5).collect();
    assert_eq!(lives.len(), 2, "each of the two began with its life");
    // All of the second life is gone.
    std::fs::write(&name, &whole[..lives[1] * 4_096]).unwrap();
    assert!(refusal_of(folder.path()).await.contains("the file is cut off"));
    assert!(repair(folder.path(), None).unwrap().made);
    let mut third = open(options(folder.path())).await;
    third.channel.check_recovered("sink", &known).unwrap();
    third.put_durably(30..35).await;
    // Nothing of the new events has a number that the sink has seen.
    let next = third.deliver(3).await.reached.into_values().next().unwrap();
    assert!(next.through > 30 + 5, "{next:?}");
    assert_eq!(Some(next.incarnation), Some(third.channel.incarnation()));
}

#[tokio::test]
async fn a_repair_without_any_checkpoint_leaves_a_directory_that_can_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(options(folder.path())).await;
    first.put_durably(0..10).await;
    drop(first);
    // The checkpoint is the first record.
    change(folder.path(), &segment::segment_name(0), |bytes| bytes[4_096 + 70] ^= 1);
    assert!(repair(folder.path(), None).unwrap().made);
    let mut second = open(options(folder.path())).await;
    assert_eq!(bodies(&second.lease().await), numbers(0..10));
    second.channel.shut().await.unwrap();
    drop(second);
    assert_eq!(inspect(folder.path(), None).unwrap().owner, "test/buffer");
}
