//! How fast the sink is, beside a bare loop that does as little as can be done. Not a test:
//!
//! ```text
//! cargo test --release -p weir-stdlib --lib files::sink::tests::rates -- --ignored --nocapture
//! ```

use std::time::Instant;

use arrow_array::Array;
use arrow_buffer::Buffer;

use super::*;

const BATCHES: usize = 1_000;
const ROWS: usize = 4_096;

/// Batches of lines of 99 bytes that compress about as well as logs do.
fn batches() -> Vec<Batch> {
    let mut state = 1_u64;
    let mut next = move || {
        // Marsaglia's xorshift: as good as any for digits that do not repeat.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let batch = |_| {
        let mut text = String::new();
        for _ in 0..ROWS {
            let (one, two) = (next(), next());
            let line = format!(
                "10.{}.{}.7 - - [01/Jan/2026:12:00:00 +0000] \"GET /shop/item/{} HTTP/1.1\" 200 {}",
                one % 250,
                one / 250 % 250,
                one / 62_500 % 100_000,
                two % 30_000
            );
            text.push_str(&format!("{line:<99}\n"));
        }
        let buffer = Buffer::from(text.into_bytes());
        let mut builder = arrow_array::builder::BinaryViewBuilder::new();
        let block = builder.append_block(buffer);
        for row in 0..ROWS as u32 {
            builder.try_append_view(block, row * 100, 99).unwrap();
        }
        let columns = vec![Column::constant_time(0), builder.finish().into()];
        Batch::new(schema(), columns, ROWS, Origins::default()).unwrap()
    };
    (0..BATCHES).map(batch).collect()
}

/// The same bytes through the same codec into one file, on one thread.
fn bare(batches: &[Batch], compress: &str, directory: &Path) -> f64 {
    let file = File::create(directory.join("bare")).unwrap();
    let mut file = std::io::BufWriter::with_capacity(1 << 20, file);
    let began = Instant::now();
    match compress {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(&mut file, flate2::Compression::default());
            write_lines(batches, &mut encoder);
            encoder.finish().map(drop).unwrap();
        }
        "zstd" => {
            let mut encoder = zstd::Encoder::new(&mut file, 3).unwrap();
            write_lines(batches, &mut encoder);
            encoder.finish().map(drop).unwrap();
        }
        _ => write_lines(batches, &mut file),
    }
    file.into_inner().unwrap().sync_all().unwrap();
    (BATCHES * ROWS) as f64 / began.elapsed().as_secs_f64()
}

fn write_lines(batches: &[Batch], out: &mut impl Write) {
    let mut staged = Vec::with_capacity(1 << 17);
    for batch in batches {
        let bodies = batch.bodies().unwrap();
        for row in 0..bodies.len() {
            staged.extend_from_slice(bodies.value(row));
            staged.push(b'\n');
            if staged.len() >= 1 << 16 {
                out.write_all(&staged).unwrap();
                staged.clear();
            }
        }
    }
    out.write_all(&staged).unwrap();
}

async fn sink(batches: &[Batch], compress: &str, directory: &Path) -> f64 {
    let mut sink = make(&settings(directory, compress), context(Arc::default())).unwrap();
    let channel: Arc<dyn Channel> = Arc::new(MemoryChannel::new(Limits {
        capacity: 100_000_000,
        transaction_capacity: 1_000_000,
        byte_capacity: 1 << 40,
        keep_alive: Duration::from_secs(3),
    }));
    let mut port = SinkPort::reading(&*channel);
    let mut outlet = SourcePort::into_channel(channel.clone()).outlet;
    for batch in batches {
        outlet.put(batch.clone()).await.unwrap();
    }
    outlet.close();
    channel.close();
    let began = Instant::now();
    tokio::spawn(async move { sink.run(&mut port).await }).await.unwrap().unwrap();
    (BATCHES * ROWS) as f64 / began.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn lines_per_second() {
    let batches = batches();
    let root = std::env::var("WEIR_RATES_DIR").unwrap_or_else(|_| ".".to_string());
    for compress in ["none", "gzip", "zstd"] {
        let mut rounds = Vec::new();
        for _ in 0..5 {
            let directory = TempDir::new_in(&root).unwrap();
            let bare = bare(&batches, compress, directory.path());
            let sink = sink(&batches, compress, directory.path()).await;
            rounds.push((sink / bare, sink, bare));
        }
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (ratio, sink, bare) = rounds[2];
        println!(
            "{compress}: sink {:.2} M lines/s, bare {:.2} M lines/s, ratio {ratio:.2} (from {:.2} to {:.2})",
            sink / 1e6,
            bare / 1e6,
            rounds[0].0,
            rounds[4].0
        );
    }
}
