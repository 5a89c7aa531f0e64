//! Avro schemas (Avro 1.11, "Schema Declaration"), as the writer of data used them.

use std::collections::BTreeMap;

use serde_json::Value;

/// A schema: its types, which refer to each other by their numbers, since a type may contain itself.
#[derive(Debug, Default)]
pub(super) struct AvroSchema {
    types: Vec<AvroType>,
    names: BTreeMap<String, usize>,
}

/// A type by its number.
pub(super) type TypeId = usize;

/// A type of Avro.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum AvroType {
    Null,
    Boolean,
    /// `int` and `long`, which are written alike.
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(Vec<String>),
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Record(Vec<(String, TypeId)>),
    /// A date or a timestamp: a number that counts so many nanoseconds since 1970 in UTC.
    Time(i64),
    /// A decimal number with this many digits after its point, in bytes or in a fixed of this size.
    Decimal(u8, Option<usize>),
}

impl AvroSchema {
    /// Reads the text of a schema. Returns it with the number of its outermost type.
    ///
    /// # Errors
    /// When the text is no schema, in words for the user.
    pub(super) fn parse(text: &str) -> Result<(AvroSchema, TypeId), String> {
        // serde_json refuses texts that are nested more than 128 times.
        let value: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
        let mut schema = AvroSchema::default();
        let root = schema.read(&value, "")?;
        Ok((schema, root))
    }

    pub(super) fn of(&self, id: TypeId) -> &AvroType {
        &self.types[id]
    }

    fn add(&mut self, avro_type: AvroType) -> TypeId {
        self.types.push(avro_type);
        self.types.len() - 1
    }

    fn read(&mut self, value: &Value, namespace: &str) -> Result<TypeId, String> {
        match value {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.read(branch, namespace));
                let branches = branches.collect::<Result<_, _>>()?;
                Ok(self.add(AvroType::Union(branches)))
            }
            Value::Object(object) => {
                let kind = object.get("type").ok_or("a type in it has no `type`")?;
                let part =
                    |name: &str, of: &str| object.get(name).ok_or(format!("{of} in it has no `{name}`"));
                match kind.as_str() {
                    Some("record" | "error") => self.record(value, namespace),
                    Some("enum") => {
                        let symbols = symbols(part("symbols", "an enum")?)?;
                        let id = self.add(AvroType::Enum(symbols));
                        self.name(value, namespace, id)
                    }
                    Some("fixed") => {
                        let size =
                            part("size", "a fixed")?.as_u64().and_then(|size| usize::try_from(size).ok());
                        let size = size.ok_or("the size of a fixed in it is no number of bytes")?;
                        let id = match scale(value)? {
                            Some(scale) => self.add(AvroType::Decimal(scale, Some(size))),
                            None => self.add(AvroType::Fixed(size)),
                        };
                        self.name(value, namespace, id)
                    }
                    Some("array") => {
                        let items = self.read(part("items", "an array")?, namespace)?;
                        Ok(self.add(AvroType::Array(items)))
                    }
                    Some("map") => {
                        let values = self.read(part("values", "a map")?, namespace)?;
                        Ok(self.add(AvroType::Map(values)))
                    }
                    _ => self.logical(value, kind, namespace),
                }
            }
            other => Err(format!("`{other}` in it is no type")),
        }
    }

    /// Reads a type that may have a logical type.
    fn logical(&mut self, value: &Value, kind: &Value, namespace: &str) -> Result<TypeId, String> {
        let logical = value.get("logicalType").and_then(Value::as_str).unwrap_or_default();
        let unit = match (kind.as_str().unwrap_or_default(), logical) {
            ("int", "date") => 86_400_000_000_000,
            ("long", "timestamp-millis" | "local-timestamp-millis") => 1_000_000,
            ("long", "timestamp-micros" | "local-timestamp-micros") => 1_000,
            ("long", "timestamp-nanos" | "local-timestamp-nanos") => 1,
            ("bytes", "decimal") => {
                let scale = scale(value)?.unwrap_or_default();
                return Ok(self.add(AvroType::Decimal(scale, None)));
            }
            _ => return self.read(kind, namespace),
        };
        Ok(self.add(AvroType::Time(unit)))
    }

    fn record(&mut self, value: &Value, namespace: &str) -> Result<TypeId, String> {
        let id = self.add(AvroType::Null);
        self.name(value, namespace, id)?;
        let own = full_name(value, namespace)?;
        let namespace = own.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        let fields = value.get("fields").and_then(Value::as_array);
        let fields = fields.ok_or_else(|| format!("the record `{own}` in it has no `fields`"))?;
        let mut read: Vec<(String, TypeId)> = Vec::new();
        for field in fields {
            let name = field.get("name").and_then(Value::as_str);
            let name = name.ok_or_else(|| format!("a field of the record `{own}` in it has no `name`"))?;
            let kind = field.get("type");
            let kind =
                kind.ok_or_else(|| format!("the field `{name}` of the record `{own}` in it has no `type`"))?;
            if read.iter().any(|(known, _)| known == name) {
                return Err(format!("the record `{own}` in it has two fields `{name}`"));
            }
            read.push((name.to_owned(), self.read(kind, &namespace)?));
        }
        self.types[id] = AvroType::Record(read);
        Ok(id)
    }

    fn name(&mut self, value: &Value, namespace: &str, id: TypeId) -> Result<TypeId, String> {
        let name = full_name(value, namespace)?;
        match self.names.insert(name.clone(), id) {
            None => Ok(id),
            Some(_) => Err(format!("it has two types `{name}`")),
        }
    }

    fn named(&mut self, name: &str, namespace: &str) -> Result<TypeId, String> {
        let plain = match name {
            "null" => AvroType::Null,
            "boolean" => AvroType::Boolean,
            "int" | "long" => AvroType::Long,
            "float" => AvroType::Float,
            "double" => AvroType::Double,
            "bytes" => AvroType::Bytes,
            "string" => AvroType::String,
            _ => {
                let found = self.names.get(&qualified(name, namespace)).or_else(|| self.names.get(name));
                return found.copied().ok_or_else(|| format!("it has no type `{name}`"));
            }
        };
        Ok(self.add(plain))
    }
}

impl AvroType {
    /// The type in messages, with its article.
    pub(super) fn words(&self) -> &'static str {
        match self {
            AvroType::Null => "null",
            AvroType::Boolean => "a boolean",
            AvroType::Long => "an int or a long",
            AvroType::Float => "a float",
            AvroType::Double => "a double",
            AvroType::Bytes => "bytes",
            AvroType::String => "a string",
            AvroType::Fixed(_) => "a fixed",
            AvroType::Enum(_) => "an enum",
            AvroType::Array(_) => "an array",
            AvroType::Map(_) => "a map",
            AvroType::Union(_) => "a union",
            AvroType::Record(_) => "a record",
            AvroType::Time(_) => "a date or a timestamp",
            AvroType::Decimal(..) => "a decimal",
        }
    }
}

fn symbols(value: &Value) -> Result<Vec<String>, String> {
    let symbols = value.as_array().map(|symbols| symbols.iter().map(Value::as_str));
    let symbols = symbols.and_then(|symbols| symbols.map(|symbol| symbol.map(str::to_owned)).collect());
    symbols.ok_or_else(|| "the symbols of an enum in it are no list of names".to_owned())
}

/// A name with its namespace, if it has one.
fn qualified(name: &str, namespace: &str) -> String {
    match name.contains('.') || namespace.is_empty() {
        true => name.to_owned(),
        false => format!("{namespace}.{name}"),
    }
}

fn full_name(value: &Value, namespace: &str) -> Result<String, String> {
    let name = value
        .get("name")
        .and_then(Value::as_str)
        .ok_or("a record, an enum or a fixed in it has no `name`")?;
    Ok(qualified(name, value.get("namespace").and_then(Value::as_str).unwrap_or(namespace)))
}

/// The digits of a decimal number after its point; `None` for another type.
fn scale(value: &Value) -> Result<Option<u8>, String> {
    if value.get("logicalType").and_then(Value::as_str) != Some("decimal") {
        return Ok(None);
    }
    match value.get("scale").map_or(Some(0), Value::as_u64).map(u8::try_from) {
        Some(Ok(scale @ 0..=38)) => Ok(Some(scale)),
        _ => Err("the scale of a decimal in it is none from 0 to 38".to_owned()),
    }
}
