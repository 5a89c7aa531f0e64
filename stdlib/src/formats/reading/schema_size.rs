//! How large the schema of an Avro file becomes when its types are made.
//!
//! A name stands for a type that contains others, so that a short schema may describe more types than fit in memory. A null
//! takes a byte of the file, and in memory as many bytes as the `fixed` type in whose place it is.

use std::collections::HashMap;
use std::io;

use serde_json::Value;

use super::{BLOCK_BYTES_MAX, damaged};

/// The most types. Each one has buffers of about 16 KiB while a block is read.
const TYPES_MAX: u64 = 20_000;

/// The deepest type.
const DEPTH_MAX: u64 = 128;

/// The longest text of the types, whose attributes are in memory with each type.
const TEXT_BYTES_MAX: u64 = 64 << 20;

/// The size of a type, with a type in place of each name.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SchemaSize {
    types: u64,
    depth: u64,
    text_bytes: u64,
    /// The bytes of its `fixed` types, outside of arrays and maps.
    fixed_bytes: u64,
    /// Those of them that a null may stand for.
    pub(super) null_bytes: u64,
    /// The same within arrays and maps, for one item of each.
    pub(super) null_item_bytes: u64,
}

impl SchemaSize {
    /// Returns the size of the type that a schema in JSON describes.
    ///
    /// # Errors
    /// When it is no JSON, or too large. A `fixed` type has at most `fixed_bytes_max` bytes.
    pub(super) fn of(schema: &[u8], fixed_bytes_max: usize) -> io::Result<SchemaSize> {
        let schema: Value = serde_json::from_slice(schema)
            .map_err(|error| damaged(format!("its schema is no JSON: {error}")))?;
        let mut sizes = Sizes { named: HashMap::new(), fixed_bytes_max: fixed_bytes_max as u64 };
        let size = sizes.of(&schema)?;
        let limits = [
            (size.types, TYPES_MAX, "types"),
            (size.depth, DEPTH_MAX, "types within each other"),
            (size.text_bytes, TEXT_BYTES_MAX, "bytes"),
            (size.null_bytes, BLOCK_BYTES_MAX as u64, "bytes of `fixed` types that may be null"),
        ];
        match limits.into_iter().find(|(found, most, _)| found > most) {
            Some((found, most, what)) => {
                Err(damaged(format!("its schema describes {found} {what}; at most {most} are read")))
            }
            None => Ok(size),
        }
    }

    /// Adds a type that is a part of this one.
    fn add(&mut self, part: SchemaSize) {
        self.types = self.types.saturating_add(part.types);
        self.depth = self.depth.max(part.depth.saturating_add(1));
        self.text_bytes = self.text_bytes.saturating_add(part.text_bytes);
        self.fixed_bytes = self.fixed_bytes.saturating_add(part.fixed_bytes);
        self.null_bytes = self.null_bytes.saturating_add(part.null_bytes);
        self.null_item_bytes = self.null_item_bytes.saturating_add(part.null_item_bytes);
    }
}

struct Sizes {
    /// By the last part of the name. Of types with the same one in several namespaces, the largest counts.
    named: HashMap<String, SchemaSize>,
    fixed_bytes_max: u64,
}

impl Sizes {
    fn of(&mut self, schema: &Value) -> io::Result<SchemaSize> {
        let mut size = SchemaSize { types: 1, ..SchemaSize::default() };
        match schema {
            Value::String(name) => size = self.named(name).unwrap_or(size),
            Value::Array(branches) => {
                for branch in branches {
                    size.add(self.of(branch)?);
                }
                size.null_bytes = size.fixed_bytes;
            }
            Value::Object(_) => self.add_parts(schema, &mut size)?,
            _ => {}
        }
        Ok(size)
    }

    fn named(&self, name: &str) -> Option<SchemaSize> {
        self.named.get(last_part(name)).copied()
    }

    /// Adds the parts of a type that is an object to its size, and remembers it if it has a name.
    fn add_parts(&mut self, schema: &Value, size: &mut SchemaSize) -> io::Result<()> {
        size.text_bytes = schema.to_string().len() as u64;
        for field in schema["fields"].as_array().into_iter().flatten() {
            size.add(self.of(&field["type"])?);
        }
        for items in [&schema["items"], &schema["values"]] {
            if items.is_null() {
                continue;
            }
            let mut items = self.of(items)?;
            items.null_item_bytes = items.null_item_bytes.saturating_add(items.null_bytes);
            (items.fixed_bytes, items.null_bytes) = (0, 0);
            size.add(items);
        }
        match &schema["type"] {
            // A name, even if it is that of a kind of type.
            Value::String(name) => {
                if let Some(named) = self.named(name) {
                    size.add(named);
                }
                if name == "fixed" {
                    let bytes = schema["size"].as_u64().unwrap_or(0);
                    if bytes > self.fixed_bytes_max {
                        let most = self.fixed_bytes_max;
                        return Err(damaged(format!(
                            "a `fixed` type of {bytes} bytes, and `max_record` is {most}"
                        )));
                    }
                    size.fixed_bytes = size.fixed_bytes.saturating_add(bytes);
                }
            }
            inner => size.add(self.of(inner)?),
        }
        if let Some(name) = schema["name"].as_str() {
            let known = self.named.entry(last_part(name).to_owned()).or_default();
            known.types = known.types.max(size.types);
            known.depth = known.depth.max(size.depth);
            known.text_bytes = known.text_bytes.max(size.text_bytes);
            known.fixed_bytes = known.fixed_bytes.max(size.fixed_bytes);
            known.null_bytes = known.null_bytes.max(size.null_bytes);
            known.null_item_bytes = known.null_item_bytes.max(size.null_item_bytes);
        }
        Ok(())
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(schema: &str) -> String {
        SchemaSize::of(schema.as_bytes(), 1 << 20).unwrap_err().to_string()
    }

    /// A record whose fields have these types.
    fn record(name: &str, types: &[&str]) -> String {
        let fields: Vec<String> = types
            .iter()
            .enumerate()
            .map(|(number, kind)| format!(r#"{{"name":"f{number}","type":{kind}}}"#))
            .collect();
        format!(r#"{{"type":"record","name":"{name}","fields":[{}]}}"#, fields.join(","))
    }

    #[test]
    fn names_that_stand_for_ever_more_types_are_refused() {
        let mut types = vec![record("n.A0", &[r#""long""#, r#""long""#])];
        for number in 1..36 {
            let name = format!(r#""n.A{}""#, number - 1);
            types.push(record(&format!("n.A{number}"), &[&name, &name]));
        }
        let types: Vec<&str> = types.iter().map(String::as_str).collect();
        assert!(error(&record("all", &types)).contains("types; at most 20000 are read"));
        assert!(SchemaSize::of(record("all", &types[..9]).as_bytes(), 0).is_ok());
    }

    #[test]
    fn a_chain_of_names_is_refused_where_it_is_too_deep() {
        let mut types = vec![record("A0", &[])];
        types.extend(
            (1..150).map(|number| record(&format!("A{number}"), &[&format!(r#""A{}""#, number - 1)])),
        );
        let types: Vec<&str> = types.iter().map(String::as_str).collect();
        assert!(error(&record("all", &types)).contains("types within each other"));
        assert!(SchemaSize::of(record("all", &types[..100]).as_bytes(), 0).is_ok());
    }

    #[test]
    fn long_attributes_of_a_type_with_many_uses_are_refused() {
        let described = format!(r#"{{"type":"fixed","name":"F","size":1,"why":"{}"}}"#, "x".repeat(1 << 20));
        let uses = vec![r#""F""#; 100];
        assert!(
            error(&record("all", &[&[described.as_str()], &uses[..]].concat())).contains("bytes; at most")
        );
    }

    #[test]
    fn the_bytes_of_nulls_are_those_of_the_fixed_types_in_their_places() {
        let fixed = |bytes: u64| format!(r#"{{"type":"fixed","name":"F{bytes}","size":{bytes}}}"#);
        assert!(error(&format!(r#"["null",{}]"#, fixed(2_147_483_647))).contains("`max_record` is 1048576"));
        let schema = record(
            "all",
            &[
                &fixed(7),
                r#"["null","F7"]"#,
                r#"{"type":"array","items":["null","F7"]}"#,
                r#"{"type":"map","values":{"type":"array","items":["F7",["null"]]}}"#,
                r#"{"type":"array","items":"F7"}"#,
            ],
        );
        let size = SchemaSize::of(schema.as_bytes(), 7).unwrap();
        assert_eq!((size.fixed_bytes, size.null_bytes, size.null_item_bytes), (14, 7, 14));
        let first = fixed(1 << 20);
        let wide = [&[first.as_str()], &[r#"["null","F1048576"]"#; 65][..]].concat();
        assert!(error(&record("all", &wide)).contains("that may be null"));
    }
}
