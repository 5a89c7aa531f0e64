//! Text in other encodings than UTF-8.

use super::*;

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn encoded(mode: Value, encoding: &str) -> Environment {
    Environment::new(mode).with("encoding", variant(encoding, &[]))
}

#[tokio::test]
async fn events_are_decoded_and_their_positions_are_those_in_the_file() {
    let environment = encoded(keep(), "utf16le");
    environment.write("a.log", utf16("\u{feff}one\r\nzwölf\n\u{a0a}\u{1d11e}\nlast"));
    let mut harness = environment.begin().await;
    let delivery = harness.take().await;
    let bodies: Vec<&[u8]> = delivery.batch.bodies().unwrap().iter().flatten().collect();
    assert_eq!(bodies, ["one", "zwölf", "\u{a0a}\u{1d11e}", "last"].map(str::as_bytes));
    let Some(Column::Array(offsets)) = delivery.batch.column("@offset") else { panic!() };
    let offsets: &arrow_array::Int64Array = offsets.as_any().downcast_ref().unwrap();
    assert_eq!(offsets.values(), &[2, 12, 24, 32]);
    delivery.acknowledgement.done();
    harness.end().await;
}

#[tokio::test]
async fn a_growing_file_goes_on_behind_whole_lines_after_every_restart() {
    for crashes in [false, true] {
        let text = utf16("\u{feff}1 Ä\r\n2 \u{a0a}\r\n3 \u{100}\r\n");
        let mut environment = encoded(follow("beginning"), "utf16le").with_positions().with_durable_channel();
        let mut lines = Vec::new();
        for piece in text.chunks(3) {
            environment.append("a.log", piece);
            let mut harness = environment.begin().await;
            harness.write("b.log", "");
            tokio::time::sleep(Duration::from_millis(15)).await;
            while let Ok(Taken::Events(delivery)) =
                tokio::time::timeout(Duration::from_millis(20), harness.sink.take())
                    .await
                    .unwrap_or(Ok(Taken::End))
            {
                lines.extend(delivery.batch.bodies().unwrap().iter().flatten().map(<[u8]>::to_vec));
                delivery.acknowledgement.done();
            }
            environment = if crashes { harness.crash().await } else { harness.end().await };
        }
        let mut harness = environment.begin().await;
        harness.append("a.log", utf16("end\n"));
        while lines.last().is_none_or(|line| line != b"end") {
            lines.extend(harness.events(1).await);
        }
        let lines: Vec<String> = lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect();
        assert_eq!(lines, ["1 Ä", "2 \u{a0a}", "3 \u{100}", "end"], "{crashes}");
        harness.end().await;
    }
}

#[tokio::test]
async fn reading_from_the_end_begins_at_a_whole_line() {
    let environment = encoded(follow("end"), "utf16le");
    environment.write("a.log", utf16("one\nhalf \u{a0a}"));
    let mut harness = environment.begin().await;
    harness.counted("files_begun_at_their_end", 1).await;
    harness.append("a.log", utf16(" a line\n"));
    assert_eq!(harness.lines(1).await, ["half \u{a0a} a line"]);
    harness.end().await;
}

#[tokio::test]
async fn what_is_not_right_is_replaced_and_counted() {
    let environment = encoded(keep(), "shift_jis");
    environment.write("a.log", b"\x83\x65\n\xff\xff\nok\n");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(3).await, ["テ", "\u{fffd}\u{fffd}", "ok"]);
    harness.counted("malformed_lines", 1).await;
    harness.end().await;
}

#[tokio::test]
async fn a_file_that_looks_like_another_encoding_is_counted() {
    let environment = encoded(keep(), "utf8");
    environment.write("a.log", utf16("\u{feff}text\n"));
    environment.write("b.log", utf16("text without a mark\n"));
    environment.write("c.log", "\u{feff}text\n");
    let mut harness = environment.begin().await;
    harness.lines(3).await;
    harness.counted("files_in_another_encoding", 2).await;
    assert_eq!(harness.meter.counters()["files_in_another_encoding"], 2);
    harness.end().await;
}

#[tokio::test]
async fn a_compressed_copy_goes_on_at_the_position_in_its_original() {
    let environment = encoded(follow("beginning"), "utf16be").with_positions();
    let text = |lines: std::ops::Range<u32>| -> Vec<u8> {
        let lines: String = lines.map(|number| format!("Zeile {number}\n")).collect();
        lines.encode_utf16().flat_map(u16::to_be_bytes).collect()
    };
    environment.write("a.log", text(0..1_000));
    let mut harness = environment.begin().await;
    harness.lines(1_000).await;
    let environment = harness.end().await;
    fs::remove_file(environment.path("a.log")).unwrap();
    environment.write("a.log.1.gz", gzip(&text(0..1_100)));
    let mut harness = environment.begin().await;
    let lines = harness.lines(100).await;
    assert_eq!((lines[0].as_str(), lines.len()), ("Zeile 1000", 100));
    harness.end().await;
}
