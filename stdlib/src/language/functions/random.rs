//! Functions whose results differ from call to call, or from machine to machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use weir_runtime::batch::Column;
use weir_runtime::expressions::Call;
use weir_runtime::{Clock, Registry};

use super::arguments::Ints;
use super::results::{Answer, Made, floats, ints, kernel, texts};

pub(super) fn register(registry: Registry) -> Registry {
    registry
        .function("uuid", |call| {
            let clock = call.clock();
            kernel(move |_, rows| identifiers(&clock, rows, 4, None))
        })
        .function("uuid_v7", uuid_v7)
        .function("random", |call| {
            let clock = call.clock();
            kernel(move |_, rows| {
                let numbers = random_numbers(&clock, rows)?;
                // The 53 bits of a number below 1.
                Ok(floats(rows, |row| Ok(Some((numbers[row] >> 11) as f64 / (1_u64 << 53) as f64))))
            })
        })
        .function("random_int", |call| {
            let clock = call.clock();
            kernel(move |arguments, rows| random_int(&clock, arguments, rows))
        })
        .function("hostname", |_| {
            let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
            kernel(move |_, _| Ok(Column::constant_text(&name).into()))
        })
}

/// Returns random bytes: from the system, or those of a simulation.
fn random_bytes(clock: &Arc<dyn Clock>, count: usize) -> Result<Vec<u8>, arrow_schema::ArrowError> {
    let mut bytes = vec![0; count];
    let filled = clock.fill_random(&mut bytes);
    filled.map_err(|error| arrow_schema::ArrowError::ComputeError(error.to_string()))?;
    Ok(bytes)
}

fn random_numbers(clock: &Arc<dyn Clock>, count: usize) -> Result<Vec<u64>, arrow_schema::ArrowError> {
    let bytes = random_bytes(clock, 8 * count)?;
    Ok(bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect())
}

fn random_int(clock: &Arc<dyn Clock>, arguments: &[Column], rows: usize) -> Answer {
    let (leasts, mosts) = (Ints::of(arguments, 0)?, Ints::of(arguments, 1)?);
    let numbers = random_numbers(clock, rows)?;
    Ok(ints(rows, |row| {
        let Some((least, most)) = leasts.get(row).zip(mosts.get(row)) else { return Ok(None) };
        let (least, most) = (least.min(most), least.max(most));
        let count = u128::from(most.abs_diff(least)) + 1;
        // The product of a number of 64 bits and the count, of which the upper 64 bits are below the count.
        let chosen = (u128::from(numbers[row]) * count) >> 64;
        Ok(Some((i128::from(least) + chosen as i128) as i64))
    }))
}

/// Makes `uuid_v7`, which begins with the time of day.
fn uuid_v7(call: &Call<'_>) -> Made {
    let clock = call.clock();
    kernel(move |_, rows| {
        let milliseconds = u64::try_from(clock.now() / 1_000).unwrap_or(0);
        identifiers(&clock, rows, 7, Some(next_of_v7(milliseconds, rows as u64)))
    })
}

/// Returns the first of so many consecutive counts, all larger than those of the calls before in this process. A count is the
/// milliseconds and the 12 bits behind the version (RFC 9562, section 6.2, method 3): if a millisecond has more identifiers, or
/// the clock goes back, the counts go on into the milliseconds after.
fn next_of_v7(milliseconds: u64, count: u64) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let begin = |next: u64| next.max(milliseconds << 12);
    let taken = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| Some(begin(next) + count));
    begin(taken.unwrap_or_default())
}

/// Writes random identifiers (RFC 9562). The first begins with this count of [`next_of_v7`], each of the others with the next.
fn identifiers(clock: &Arc<dyn Clock>, rows: usize, version: u8, first: Option<u64>) -> Answer {
    let random = random_bytes(clock, 16 * rows)?;
    let mut ids = random.as_chunks::<16>().0.iter();
    texts(rows, |row, out| {
        let Some(mut id) = ids.next().copied() else { return Ok(None) };
        if let Some(count) = first.map(|first| first + row as u64) {
            id[..6].copy_from_slice(&(count >> 12).to_be_bytes()[2..]);
            id[6..8].copy_from_slice(&(count as u16 & 0x0fff).to_be_bytes());
        }
        id[6] = id[6] & 0x0f | version << 4;
        id[8] = id[8] & 0x3f | 0x80;
        let mut digits = [0; 32];
        // There is room for two digits of each byte.
        let _infallible = hex::encode_to_slice(id, &mut digits);
        for (index, part) in [0..8, 8..12, 12..16, 16..20, 20..32].into_iter().enumerate() {
            if index > 0 {
                out.push(b'-');
            }
            out.extend_from_slice(&digits[part]);
        }
        Ok(Some(()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_identifiers_only_grow() {
        let first = next_of_v7(1_000, 5_000);
        assert!(first >= 1_000 << 12);
        let earlier = next_of_v7(900, 1);
        assert!(earlier >= first + 5_000, "the clock has gone back");
        let later = next_of_v7((earlier >> 12) + 10, 1);
        assert!(later >> 12 >= (earlier >> 12) + 10);
    }
}
