//! Partial lines of files that are gone.

use tokio::time::Instant;

use super::*;

/// Stops the source, and returns the lines that it puts while it stops.
pub(super) async fn stopped(harness: Harness) -> Vec<String> {
    let Harness { stop, mut sink, channel, running, environment: _environment, .. } = harness;
    stop.cancel();
    let ended = async {
        running.await.unwrap().unwrap();
        channel.close();
    };
    let taking = async {
        let mut lines = Vec::new();
        while let Taken::Events(Delivery { batch, acknowledgement, .. }) = sink.take().await.unwrap() {
            let bodies = batch.bodies().unwrap().iter().flatten();
            lines.extend(bodies.map(|body| String::from_utf8_lossy(body).into_owned()));
            acknowledgement.done();
        }
        lines
    };
    let ((), lines) = within_patience("the end", async { tokio::join!(ended, taking) }).await;
    lines
}

#[tokio::test(start_paused = true)]
async fn the_partial_line_of_a_rotated_file_is_emitted() {
    for gone in [true, false] {
        let environment = Environment::new(follow("beginning"));
        environment.write("a.log", "one\npanic: the last words");
        let mut harness = environment.begin().await;
        assert_eq!(harness.lines(1).await, ["one"]);
        match gone {
            true => fs::remove_file(harness.path("a.log")).unwrap(),
            false => harness.rename("a.log", "elsewhere"),
        }
        harness.write("a.log", "new\n");
        assert_eq!(harness.lines(1).await, ["new"]);
        // The writer has continued in the new file.
        let begun = Instant::now();
        assert_eq!(harness.lines(1).await, ["panic: the last words"]);
        let waited = begun.elapsed();
        assert!((Duration::from_secs(4)..Duration::from_secs(10)).contains(&waited), "{waited:?}");
        harness.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_partial_line_of_a_file_that_nothing_has_replaced_waits_for_a_minute() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", "one\nlast");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(1).await, ["one"]);
    harness.rename("a.log", "elsewhere");
    tokio::time::sleep(Duration::from_secs(30)).await;
    harness.append("elsewhere", " words");
    let begun = Instant::now();
    // A scan sees that the file has grown, and the minute begins again.
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(harness.lines(1).await, ["last words"]);
    assert!(begun.elapsed() >= Duration::from_secs(60), "{:?}", begun.elapsed());
    harness.end().await;
}

#[tokio::test(start_paused = true)]
async fn text_that_is_written_to_a_replaced_file_is_read_as_long_as_it_is_open() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", "one\nlast words");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(1).await, ["one"]);
    harness.rename("a.log", "elsewhere");
    harness.write("a.log", "new\n");
    assert_eq!(harness.lines(2).await, ["new", "last words"]);
    tokio::time::sleep(Duration::from_secs(40)).await;
    harness.append("elsewhere", "one more\n");
    assert_eq!(harness.lines(1).await, ["one more"]);
    harness.end().await;
}

#[tokio::test]
async fn the_partial_line_of_a_file_that_is_gone_is_emitted_at_a_stop() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", "1\nlast");
    environment.write("b.log", "2\nthis one is still there");
    let mut harness = environment.begin().await;
    harness.lines(2).await;
    harness.append("a.log", " words");
    harness.rename("a.log", "elsewhere");
    assert_eq!(stopped(harness).await, ["last words"]);
}

#[tokio::test]
async fn the_partial_line_of_a_truncated_file_is_emitted() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", "1\nlast words");
    let mut harness = environment.begin().await;
    harness.lines(1).await;
    OpenOptions::new().write(true).open(harness.path("a.log")).unwrap().set_len(0).unwrap();
    harness.append("a.log", "anew\n");
    assert_eq!(harness.lines(2).await, ["last words", "anew"]);
    harness.end().await;
}
