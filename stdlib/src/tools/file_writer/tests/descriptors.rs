//! Tests with more directories than the process may have open files.

use weir_runtime::Purpose;

use super::*;

fn places(count: usize) -> Vec<String> {
    (0..count).map(|place| format!("p{place:03}")).collect()
}

async fn put_each(rig: &mut Rig, places: &[String]) {
    for chunk in places.chunks(7) {
        rig.put(&chunk.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_budget_bounds_the_open_files() {
    for descriptors in [4, 16, 40] {
        let mut rig = Rig::new(&Options { descriptors, ..Options::default() });
        rig.disk.take(Duration::from_millis(5));
        put_each(&mut rig, &places(60)).await;
        rig.end();
        rig.run().await.unwrap();
        assert_eq!(rig.disk.events(), (0..60).collect::<Vec<_>>());
        assert_eq!(rig.acknowledged(), 60);
        let share = Descriptors::with_limit(descriptors).share(Purpose::SinkFile);
        assert!(rig.disk.writing_max() <= share, "{} files of {share}", rig.disk.writing_max());
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_closed_for_another_if_the_system_has_no_descriptor_left() {
    let disk = Simulated::default();
    let mut rig = Rig::on(disk.clone(), &Options::default());
    // The budget would allow more: other code of the process has the descriptors.
    disk.give_descriptors(5);
    disk.take(Duration::from_millis(5));
    put_each(&mut rig, &places(60)).await;
    rig.end();
    rig.run().await.unwrap();
    assert_eq!(disk.events(), (0..60).collect::<Vec<_>>());
    assert_eq!(rig.acknowledged(), 60);
}

#[tokio::test(start_paused = true)]
async fn without_any_descriptor_the_run_fails_and_the_next_one_succeeds() {
    let disk = Simulated::default();
    let mut rig = Rig::on(disk.clone(), &Options::default());
    disk.give_descriptors(0);
    put_each(&mut rig, &places(3)).await;
    let failure = rig.run().await.unwrap_err();
    assert!(!failure.is_permanent());
    assert!(failure.to_string().contains("too many open files"), "{failure}");
    disk.give_descriptors(1);
    rig.end();
    rig.run().await.unwrap();
    assert_eq!(disk.events(), [0, 1, 2]);
    assert_eq!(rig.acknowledged(), 3);
}
