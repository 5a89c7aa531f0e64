//! The directory of a channel is removed or moved away while an agent uses it.

use std::fs;

use super::*;

/// Does harm to the channel's directory between two puts and returns the channel's failure, with its path as `DIR`.
async fn failure_after(harm: impl Fn(&std::path::Path)) -> Failure {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("channel");
    let mut open = open(options(&path)).await;
    open.put_durably(0..10).await;
    drop(open.lease().await);
    harm(&path);
    let mut lost = open.put(10..20).await;
    assert_ne!(lost.recv().await, Some(true), "the put is not acknowledged");
    let failure = open.channel.failed().await;
    open.channel.shut().await.unwrap_err();
    let text = failure.to_string().replace(&path.display().to_string(), "DIR");
    match failure.is_data_loss() {
        true => Failure::data_loss(text),
        false => Failure::permanent(text),
    }
}

#[tokio::test]
async fn puts_after_a_removal_are_not_acknowledged_and_the_loss_is_reported() {
    let removed = failure_after(|path| fs::remove_dir_all(path).unwrap()).await;
    insta::assert_snapshot!(removed, @"DIR: it was removed, moved away or replaced while it was in use; what was put and not yet delivered is lost with it, unless the directory that was in use comes back to its place");
    let moved = failure_after(|path| fs::rename(path, path.with_extension("old")).unwrap()).await;
    let replaced = failure_after(|path| {
        fs::rename(path, path.with_extension("old")).unwrap();
        fs::create_dir(path).unwrap();
    });
    let emptied = failure_after(|path| {
        fs::read_dir(path).unwrap().for_each(|entry| fs::remove_file(entry.unwrap().path()).unwrap());
    });
    for other in [moved, replaced.await, emptied.await] {
        assert!(other.is_data_loss());
        assert_eq!(other.to_string(), removed.to_string());
    }
}

#[tokio::test]
async fn acknowledgements_notice_a_removal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("channel");
    let mut open = open(options(&path)).await;
    open.put_durably(0..10).await;
    let lease = open.lease().await;
    fs::remove_dir_all(&path).unwrap();
    lease.acknowledgement.done();
    assert!(open.channel.failed().await.is_data_loss());
}

#[tokio::test]
async fn a_shutdown_notices_a_removal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("channel");
    let open = open(options(&path)).await;
    open.put_durably(0..10).await;
    fs::remove_dir_all(&path).unwrap();
    let failure = open.channel.shut().await.unwrap_err();
    assert!(failure.is_data_loss(), "{failure}");
}
