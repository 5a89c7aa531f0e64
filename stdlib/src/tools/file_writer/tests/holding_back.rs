//! Tests of encoded output that is held back, to be written together with the next output.

use super::*;
use crate::tools::file_writer::error::Operation;
use crate::tools::file_writer::file::{UNWRITTEN_BYTES_MAX, WRITE_BYTES};

const BODY: usize = 10_000;

#[tokio::test]
async fn small_pieces_are_written_together() {
    let mut rig = Rig::new(&Options::default());
    for _ in 0..100 {
        rig.put_long(&["a"], BODY).await;
    }
    rig.end();
    rig.run().await.unwrap();
    assert_eq!(rig.disk.events(), (0..100).collect::<Vec<_>>());
    assert_eq!(rig.written(), 100 * (BODY + 1));
    let writes = rig.disk.calls().iter().filter(|(call, _)| *call == Operation::Write).count();
    assert!((1..=100 * BODY / WRITE_BYTES + 2).contains(&writes), "{writes} writes");
}

#[tokio::test(start_paused = true)]
async fn the_bytes_that_all_files_hold_back_are_bounded() {
    let mut rig = Rig::new(&Options::default());
    let places: Vec<String> = (0..100).map(|place| place.to_string()).collect();
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    rig.put_long(&places, 2 * WRITE_BYTES).await;
    rig.run_for(Duration::from_secs(1)).await.unwrap();
    let held = places.len() * (2 * WRITE_BYTES + 1) - rig.written();
    assert!((UNWRITTEN_BYTES_MAX / 2..=UNWRITTEN_BYTES_MAX).contains(&held), "{held} bytes are held back");
    rig.end();
    rig.run().await.unwrap();
    assert_eq!(rig.disk.events(), (0..100).collect::<Vec<_>>());
}
