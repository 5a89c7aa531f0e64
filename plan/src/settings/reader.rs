//! Deserializes values with serde, and records the settings that the target type ignores.
//!
//! A component's own type contains the settings and variants that the component implements. Serde ignores
//! unknown settings; this module records ignored settings whose values have an effect, so that no
//! setting of a program is ignored silently.

use std::cell::RefCell;
use std::collections::{BTreeMap, btree_map};

use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::refusal::{NotCarriedOut, Place, Problem};
use crate::Value;

/// The ignored settings.
pub(super) type Ignored = RefCell<Vec<NotCarriedOut>>;

/// Deserializes one value.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    value: &'a Value,
    place: Place<'a>,
    ignored: &'a Ignored,
}

/// Deserializes the settings of a component, a record or a variant.
pub(super) struct GroupReader<'a> {
    entries: btree_map::Iter<'a, String, Value>,
    next: Option<(&'a str, &'a Value)>,
    place: Place<'a>,
    ignored: &'a Ignored,
}

impl<'a> GroupReader<'a> {
    pub(super) fn new(values: &'a BTreeMap<String, Value>, place: Place<'a>, ignored: &'a Ignored) -> Self {
        GroupReader { entries: values.iter(), next: None, place, ignored }
    }
}

/// Returns whether a value has an effect: null, `false` and empty lists have none.
fn asks(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::List(values) => !values.is_empty(),
        Value::Record(values) => values.values().any(asks),
        _ => true,
    }
}

impl<'a> Reader<'a> {
    /// Records a value that the target type ignores.
    fn pass_over(self) {
        if asks(self.value) {
            self.ignored.borrow_mut().push(self.place.refuse(self.value, &[]));
        }
    }

    fn read<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            Value::Float(value) | Value::EventRate(value) | Value::ByteRate(value) => {
                visitor.visit_f64(*value)
            }
            Value::Decimal(value) => visitor.visit_string(value.to_string()),
            Value::Text(text) | Value::Regex(text) => visitor.visit_str(text),
            Value::Duration(duration) => {
                let parts = [("secs", duration.as_secs()), ("nanos", u64::from(duration.subsec_nanos()))];
                visitor.visit_map(MapDeserializer::new(parts.into_iter()))
            }
            Value::NegativeDuration(_) => Err(Problem::custom("a duration of a setting is never below zero")),
            Value::Size(bytes) => visitor.visit_u64(*bytes),
            Value::List(values) => {
                let items = Items { values: values.iter(), list: self };
                visitor.visit_seq(items)
            }
            Value::Record(values) => visitor.visit_map(GroupReader::new(values, self.place, self.ignored)),
            Value::Variant { .. } => visitor.visit_enum(self),
            Value::Template(template) => plain(template)?.deserialize_any(visitor).map_err(misfit),
            Value::Secret(reference) => plain(reference)?.deserialize_enum("", &[], visitor).map_err(misfit),
        }
    }
}

fn plain(value: &impl serde::Serialize) -> Result<serde_json::Value, Problem> {
    serde_json::to_value(value).map_err(misfit)
}

fn misfit(error: serde_json::Error) -> Problem {
    Problem::custom(error)
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.read(visitor).map_err(|problem| match problem {
            Problem::UnknownVariant { expected } => {
                Problem::NotCarriedOut(self.place.refuse(self.value, expected))
            }
            problem => self.place.locate(problem),
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.pass_over();
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier
    }
}

impl<'de> EnumAccess<'de> for Reader<'_> {
    type Error = Problem;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Problem> {
        let Value::Variant { name, .. } = self.value else {
            return Err(Problem::custom("not a variant"));
        };
        Ok((seed.deserialize(StrDeserializer::new(name))?, self))
    }
}

impl Reader<'_> {
    /// Deserializes the settings of the variant.
    fn variant<T>(self, read: impl FnOnce(GroupReader<'_>) -> Result<T, Problem>) -> Result<T, Problem> {
        let Value::Variant { name, settings } = self.value else {
            return Err(Problem::custom("not a variant"));
        };
        read(GroupReader::new(settings, Place::Variant(&self.place, name), self.ignored))
    }
}

impl<'de> VariantAccess<'de> for Reader<'_> {
    type Error = Problem;

    fn unit_variant(self) -> Result<(), Problem> {
        self.variant(|group| {
            for (name, value) in group.entries {
                let place = Place::Setting(&group.place, name);
                Reader { value, place, ignored: group.ignored }.pass_over();
            }
            Ok(())
        })
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Problem> {
        self.variant(|group| seed.deserialize(group))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, _visitor: V) -> Result<V::Value, Problem> {
        Err(Problem::custom("the settings of a variant have names"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.variant(|group| visitor.visit_map(group))
    }
}

impl<'de> Deserializer<'de> for GroupReader<'_> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let place = self.place;
        visitor.visit_map(self).map_err(|problem| place.locate(problem))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for GroupReader<'_> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        self.next = self.entries.next().map(|(name, value)| (name.as_str(), value));
        self.next.map(|(name, _)| seed.deserialize(StrDeserializer::new(name))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let (name, value) = self.next.take().ok_or_else(|| Problem::custom("a value before its name"))?;
        let place = Place::Setting(&self.place, name);
        seed.deserialize(Reader { value, place, ignored: self.ignored })
    }
}

/// Deserializes the values of a list.
struct Items<'a> {
    values: std::slice::Iter<'a, Value>,
    list: Reader<'a>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Problem;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        let place = Place::Item(&self.list.place);
        let next = self.values.next();
        next.map(|value| seed.deserialize(Reader { value, place, ignored: self.list.ignored })).transpose()
    }
}
