//! Loops with sonic-rs and simd-json.

use std::error::Error;

use arrow_array::builder::StringViewBuilder;
use arrow_array::{Array, ArrayRef, BinaryViewArray};

use super::{Request, RequestColumns};

type Loop = fn(&BinaryViewArray) -> Result<Vec<ArrayRef>, Box<dyn Error>>;

/// The loops with their names.
pub(super) const LOOPS: [(&str, Loop); 3] = [
    ("sonic-rs into a struct, views and builders", sonic_views),
    ("sonic-rs into a struct and builders", sonic),
    ("simd-json into a struct and builders", simd),
];

/// Reads each object into a struct with sonic-rs, and appends its members to builders.
fn sonic(bodies: &BinaryViewArray) -> Result<Vec<ArrayRef>, Box<dyn Error>> {
    let mut columns = RequestColumns::new(bodies.len());
    for row in 0..bodies.len() {
        columns.append(&sonic_rs::from_slice(bodies.value(row))?)?;
    }
    Ok(columns.finish())
}

/// Appends a text as a view into the only buffer of the bodies; a text with escapes is copied.
fn append_view(builder: &mut StringViewBuilder, buffer: &[u8], text: &str) -> Result<(), Box<dyn Error>> {
    let begin = text.as_ptr().addr().wrapping_sub(buffer.as_ptr().addr());
    match begin < buffer.len() {
        true => builder.try_append_view(0, u32::try_from(begin)?, u32::try_from(text.len())?)?,
        false => builder.append_value(text),
    }
    Ok(())
}

/// Reads each object into a struct with sonic-rs. Texts become views into the bodies, as Weir's do.
fn sonic_views(bodies: &BinaryViewArray) -> Result<Vec<ArrayRef>, Box<dyn Error>> {
    let mut columns = RequestColumns::new(bodies.len());
    let buffer = &bodies.data_buffers()[0];
    columns.host.append_block(buffer.clone());
    columns.path.append_block(buffer.clone());
    for row in 0..bodies.len() {
        let request: Request<'_> = sonic_rs::from_slice(bodies.value(row))?;
        append_view(&mut columns.host, buffer, &request.host)?;
        append_view(&mut columns.path, buffer, &request.path)?;
        columns.append_scalars(&request)?;
    }
    Ok(columns.finish())
}

/// Reads a copy of each object, which simd-json changes, into a struct, and appends its members to builders.
fn simd(bodies: &BinaryViewArray) -> Result<Vec<ArrayRef>, Box<dyn Error>> {
    let mut columns = RequestColumns::new(bodies.len());
    let (mut body, mut buffers) = (Vec::new(), simd_json::Buffers::new(4_096));
    for row in 0..bodies.len() {
        body.clear();
        body.extend_from_slice(bodies.value(row));
        columns.append(&simd_json::serde::from_slice_with_buffers(&mut body, &mut buffers)?)?;
    }
    Ok(columns.finish())
}
