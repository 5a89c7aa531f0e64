//! The parser `regex`: the named groups of a pattern.

use regex::{CaptureLocations, Regex};
use serde::Deserialize;
use weir_runtime::expressions::Reason;
use weir_runtime::parsers::{Parser, ParserCall};

use super::pieces::{Cut, Cutter, Pieces};

#[derive(Deserialize)]
struct RegexSettings {
    pattern: String,
}

/// Cuts a text into the groups of a pattern.
pub(super) struct Groups {
    pattern: Regex,
    /// The group of each field; none for a field of the schema that the pattern does not have.
    groups: Vec<Option<usize>>,
    /// The named groups that are no fields, if the step is strict.
    further: Vec<usize>,
}

pub(super) fn make(call: &ParserCall<'_>) -> Result<Box<dyn Parser>, String> {
    let RegexSettings { pattern } = call.settings.read().map_err(|error| error.to_string())?;
    Cutter::boxed(call, Groups::new(&pattern, call)?)
}

impl Groups {
    /// Prepares a pattern in the syntax of the crate `regex` for the fields of a step.
    ///
    /// # Errors
    /// When it is no pattern, or lacks the group of a field that can't be null.
    pub(super) fn new(pattern: &str, call: &ParserCall<'_>) -> Result<Groups, String> {
        let pattern = Regex::new(pattern).map_err(|error| format!("its `pattern`: {error}"))?;
        let mut groups = Vec::new();
        for field in &call.fields {
            let group = pattern.capture_names().position(|name| name == Some(&field.name));
            if group.is_none() && !field.nullable {
                return Err(format!("its `pattern` has no group `{}`", field.name));
            }
            groups.push(group);
        }
        let is_further = |name: &str| call.strict && !call.fields.iter().any(|field| field.name == name);
        let names = pattern.capture_names().enumerate();
        let further =
            names.filter(|(_, name)| name.is_some_and(is_further)).map(|(group, _)| group).collect();
        Ok(Groups { pattern, groups, further })
    }
}

impl Cut for Groups {
    type Scratch = CaptureLocations;

    fn scratch(&self) -> CaptureLocations {
        self.pattern.capture_locations()
    }

    #[inline]
    fn cut(&self, body: &str, found: &mut CaptureLocations, pieces: &mut Pieces) -> Result<(), Reason> {
        if self.pattern.captures_read(found, body).is_none() {
            return Err(Reason::unreadable(None, "a match of the pattern", body.as_bytes(), 0));
        }
        for (field, group) in self.groups.iter().enumerate() {
            if let Some((begin, end)) = group.and_then(|group| found.get(group)) {
                pieces.set(field, begin, end);
            }
        }
        match self.further.iter().find_map(|group| found.get(*group)) {
            Some((begin, end)) => {
                Err(Reason::unreadable(None, "a field of the schema", &body.as_bytes()[begin..end], begin))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use arrow_array::cast::AsArray;
    use arrow_array::types::{DurationMicrosecondType, Float64Type, Int64Type, TimestampMicrosecondType};
    use arrow_array::{Array, BinaryViewArray};
    use arrow_schema::{DataType, TimeUnit};
    use weir_plan::{FieldFormat, Settings, Value};

    use weir_runtime::parsers::{Parsed, WantedField};

    use super::*;

    fn settings(pattern: &str) -> Settings {
        Settings { values: BTreeMap::from([("pattern".to_owned(), Value::Text(pattern.to_owned()))]) }
    }

    fn field(name: &str, data_type: DataType, nullable: bool, format: FieldFormat) -> WantedField {
        WantedField { name: name.to_owned(), format, parts: Vec::new(), data_type, nullable, place: 0 }
    }

    fn plain(name: &str, data_type: DataType, nullable: bool) -> WantedField {
        field(name, data_type, nullable, FieldFormat::Plain)
    }

    fn call(settings: &Settings, fields: Vec<WantedField>, known: usize) -> ParserCall<'_> {
        ParserCall { settings, fields, known, strict: false, clock: Arc::new(weir_runtime::SystemClock) }
    }

    fn parsed(pattern: &str, fields: Vec<WantedField>, bodies: &[&[u8]]) -> Parsed {
        let known = fields.len();
        let parser = make(&call(&settings(pattern), fields, known)).unwrap();
        parser.parse(&BinaryViewArray::from_iter_values(bodies)).unwrap()
    }

    #[test]
    fn groups_become_views_into_the_body_and_a_body_that_does_not_match_fails() {
        let fields =
            vec![plain("client", DataType::Utf8View, false), plain("rest", DataType::Utf8View, true)];
        let bodies: [&[u8]; 4] = [b"alice says a long thing", b"", b"bob", b"a-client-with-a-long-name \xff"];
        let Parsed { columns, failures } = parsed(r"^(?<client>\S+)( (?<rest>.*))?$", fields, &bodies);
        let [clients, rests] = [0, 1].map(|column| columns[column].as_string_view());
        assert_eq!((clients.value(0), rests.value(0)), ("alice", "says a long thing"));
        assert_eq!((clients.value(2), rests.is_null(2)), ("bob", true));
        assert_eq!(failures.rows().collect::<Vec<_>>(), [1, 3]);
        let (_, reason) = failures.first().unwrap();
        assert_eq!(reason.to_string(), "\"\" at byte 0 is not a match of the pattern");
    }

    #[test]
    fn groups_are_read_as_the_types_of_the_schema() {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let took = field(
            "took",
            DataType::Duration(TimeUnit::Microsecond),
            true,
            FieldFormat::Unit(Duration::from_millis(1)),
        );
        let fields = vec![
            plain("status", DataType::Int64, false),
            plain("ratio", DataType::Float64, true),
            plain("fine", DataType::Boolean, false),
            field("at", time.clone(), false, FieldFormat::Pattern("%d/%b/%Y:%H:%M:%S %z".to_owned())),
            took,
        ];
        let pattern =
            r"^(?<status>\S+) (?:(?<ratio>[0-9.]+) )?(?<fine>\w+) \[(?<at>[^]]*)\](?: (?<took>\S+))?$";
        let bodies: [&[u8]; 3] = [
            b"200 0.5 true [10/Oct/2000:13:55:36 -0700] 1.5",
            b"404 false [10/Oct/2000:13:55:36 +0000]",
            b"2xx 1 true [10/Oct/2000:13:55:36 +0000]",
        ];
        let Parsed { columns, failures } = parsed(pattern, fields, &bodies);
        assert_eq!(columns[0].as_primitive::<Int64Type>().values()[..2], [200, 404]);
        assert_eq!(
            columns[1].as_primitive::<Float64Type>().iter().collect::<Vec<_>>()[..2],
            [Some(0.5), None]
        );
        assert_eq!(columns[2].as_boolean().iter().collect::<Vec<_>>()[..2], [Some(true), Some(false)]);
        assert_eq!(columns[3].data_type(), &time);
        let times = columns[3].as_primitive::<TimestampMicrosecondType>();
        assert_eq!(times.values()[..2], [971_211_336_000_000, 971_186_136_000_000]);
        let durations = columns[4].as_primitive::<DurationMicrosecondType>();
        assert_eq!(durations.iter().collect::<Vec<_>>()[..2], [Some(1_500), None]);
        assert_eq!(failures.rows().collect::<Vec<_>>(), [2]);
        let (_, reason) = failures.first().unwrap();
        assert_eq!(reason.to_string(), "field `status`: \"2xx\" at byte 0 is not an Int");
    }

    #[test]
    fn times_are_read_by_their_offset_their_zone_or_in_utc() {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        for (pattern, text, expected) in [
            ("%s", "1718800000", 1_718_800_000),
            ("%Y-%m-%d %H:%M %Q", "2024-06-19 12:00 Europe/Berlin", 1_718_791_200),
            ("%Y-%m-%d %H:%M", "2024-06-19 10:00", 1_718_791_200),
        ] {
            let fields = vec![field("at", time.clone(), false, FieldFormat::Pattern(pattern.to_owned()))];
            let Parsed { columns, failures } = parsed("^(?<at>.*)$", fields, &[text.as_bytes()]);
            assert!(failures.is_empty(), "{pattern}: {failures:?}");
            let times = columns[0].as_primitive::<TimestampMicrosecondType>();
            assert_eq!(times.value(0), expected * 1_000_000, "{pattern}");
        }
    }

    #[test]
    fn integers_lie_in_their_range_and_decimals_are_never_rounded() {
        let fields = vec![
            field("status", DataType::Int64, false, FieldFormat::Within(100, 599)),
            plain("price", DataType::Decimal128(5, 2), false),
        ];
        let bodies: [&[u8]; 5] = [b"200 1.5", b"99 1", b"600 1", b"599 -999.990", b"100 1.005"];
        let Parsed { columns, failures } = parsed("^(?<status>.*) (?<price>.*)$", fields, &bodies);
        assert_eq!(failures.rows().collect::<Vec<_>>(), [1, 2, 4]);
        let statuses = columns[0].as_primitive::<Int64Type>();
        assert_eq!((statuses.value(0), statuses.value(3)), (200, 599));
        assert_eq!(columns[1].data_type(), &DataType::Decimal128(5, 2));
        let prices = columns[1].as_primitive::<arrow_array::types::Decimal128Type>();
        assert_eq!((prices.value(0), prices.value(3)), (150, -99_999));
    }

    #[test]
    fn numbers_are_finite() {
        let fields = vec![plain("ratio", DataType::Float64, false)];
        let bodies: [&[u8]; 4] = [b"NaN", b"inf", b"-0.0", b"1e3"];
        let Parsed { columns, failures } = parsed("^(?<ratio>.*)$", fields, &bodies);
        assert_eq!(failures.rows().collect::<Vec<_>>(), [0, 1]);
        let ratios = columns[0].as_primitive::<Float64Type>();
        assert!(ratios.value(2).is_sign_positive() && ratios.value(3) == 1_000.0);
    }

    #[test]
    fn what_it_can_not_read_is_refused_before_anything_runs() {
        let refused = |fields| {
            let settings = settings("(?<a>.)");
            make(&call(&settings, fields, 1)).err().unwrap()
        };
        let lists = DataType::List(arrow_schema::Field::new("item", DataType::Utf8View, false).into());
        assert!(refused(vec![plain("a", lists, false)]).starts_with("its field `a` of [Text], which"));
        assert_eq!(refused(vec![plain("b", DataType::Utf8View, false)]), "its `pattern` has no group `b`");
    }
}
