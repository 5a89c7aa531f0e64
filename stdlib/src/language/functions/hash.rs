//! Hashes, and functions that hide a value.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use weir_plan::Value as Constant;
use weir_runtime::Registry;
use weir_runtime::expressions::Call;
use xxhash_rust::xxh3::xxh3_64;

use super::arguments::{AnyBytes, Ints};
use super::results::{Made, Part, ints, kernel, text_parts, texts};
use crate::tools::secrets;

pub(super) fn register(registry: Registry) -> Registry {
    registry
        .function("sha256", |_| hashed(|value, out| push_hex(&Sha256::digest(value), out)))
        .function("sha512", |_| hashed(|value, out| push_hex(&Sha512::digest(value), out)))
        .function("sha1", |_| hashed(|value, out| push_hex(&Sha1::digest(value), out)))
        .function("md5", |_| hashed(|value, out| push_hex(&md5::Md5::digest(value), out)))
        .function("hmac_sha256", hmac_sha256)
        .function("crc32", |_| {
            numbered(|value| {
                let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, value);
                i64::try_from(sum).unwrap_or_default()
            })
        })
        .function("xxh3", |_| numbered(|value| xxh3_64(value).cast_signed()))
        .function("bucket", |_| {
            kernel(|arguments, rows| {
                let (values, buckets) = (AnyBytes::of(arguments, 0)?, Ints::of(arguments, 1)?);
                Ok(ints(rows, |row| {
                    let Some((value, buckets)) = values.get(row).zip(buckets.get(row)) else {
                        return Ok(None);
                    };
                    let buckets = u64::try_from(buckets).unwrap_or(1).max(1);
                    Ok(Some((xxh3_64(value) % buckets).cast_signed()))
                }))
            })
        })
        .function("redact", |_| {
            kernel(|arguments, rows| {
                let kept = Ints::of(arguments, 1)?;
                text_parts(arguments, rows, |row, text, out| {
                    let Some(kept) = kept.get(row) else { return Ok(None) };
                    let count = text.chars().count();
                    let kept = usize::try_from(kept.max(0)).unwrap_or(usize::MAX).min(count);
                    out.resize(out.len() + count - kept, b'*');
                    let rest = text.char_indices().nth(count - kept).map_or("", |(at, _)| &text[at..]);
                    out.extend_from_slice(rest.as_bytes());
                    Ok(Some(Part::Written))
                })
            })
        })
}

fn push_hex(digest: &[u8], out: &mut Vec<u8>) {
    let begin = out.len();
    out.resize(begin + 2 * digest.len(), 0);
    // There is room for two digits of each byte.
    let _infallible = hex::encode_to_slice(digest, &mut out[begin..]);
}

fn hashed(write: fn(&[u8], &mut Vec<u8>)) -> Made {
    kernel(move |arguments, rows| {
        let values = AnyBytes::of(arguments, 0)?;
        texts(rows, |row, out| Ok(values.get(row).map(|value| write(value, out))))
    })
}

fn numbered(hash: fn(&[u8]) -> i64) -> Made {
    kernel(move |arguments, rows| {
        let values = AnyBytes::of(arguments, 0)?;
        Ok(ints(rows, |row| Ok(values.get(row).map(hash))))
    })
}

/// Makes `hmac_sha256`, which reads its key once.
fn hmac_sha256(call: &Call<'_>) -> Made {
    let Some(Constant::Secret(reference)) = call.constant(1) else {
        return Err("its key is no secret".to_owned());
    };
    let key = secrets::read(reference).map_err(|error| error.to_string())?;
    let keyed = Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|error| error.to_string())?;
    kernel(move |arguments, rows| {
        let values = AnyBytes::of(arguments, 0)?;
        texts(rows, |row, out| {
            let Some(value) = values.get(row) else { return Ok(None) };
            let mut keyed = keyed.clone();
            keyed.update(value);
            push_hex(&keyed.finalize().into_bytes(), out);
            Ok(Some(()))
        })
    })
}
