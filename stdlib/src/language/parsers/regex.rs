//! The parser `regex`: the named groups of a pattern.

use arrow_array::{Array, BinaryViewArray};
use regex::{CaptureLocations, Regex};
use serde::Deserialize;
use weir_runtime::batch::BatchError;
use weir_runtime::expressions::{Failures, Reason};
use weir_runtime::parsers::{Parsed, Parser, ParserCall};

use super::columns::{FieldColumn, TextField};

#[derive(Deserialize)]
struct RegexSettings {
    pattern: String,
}

struct RegexParser {
    pattern: Regex,
    /// The fields, each with the number of its group; none for a field of the schema that the pattern does not have.
    fields: Vec<(TextField, Option<usize>)>,
}

pub(super) fn make(call: &ParserCall<'_>) -> Result<Box<dyn Parser>, String> {
    let RegexSettings { pattern } = call.settings.read().map_err(|error| error.to_string())?;
    let pattern = Regex::new(&pattern).map_err(|error| format!("its `pattern`: {error}"))?;
    let mut fields = Vec::new();
    for field in &call.fields {
        let group = pattern.capture_names().position(|name| name == Some(&field.name));
        if group.is_none() && !field.nullable {
            return Err(format!("its `pattern` has no group `{}`", field.name));
        }
        fields.push((TextField::new(field)?, group));
    }
    if call.strict {
        return Err("`strict`, since its groups are all that it reads".to_owned());
    }
    Ok(Box::new(RegexParser { pattern, fields }))
}

impl Parser for RegexParser {
    fn parse(&self, bodies: &BinaryViewArray) -> Result<Parsed, BatchError> {
        let mut columns: Vec<_> = self.fields.iter().map(|(field, _)| field.column(bodies.len())).collect();
        let (mut failures, mut groups) = (Failures::default(), self.pattern.capture_locations());
        for row in 0..bodies.len() {
            let reason = match self.matched(bodies.value(row), &mut groups) {
                Ok(()) => self.append(bodies, row, &groups, &mut columns),
                Err(reason) => {
                    columns.iter_mut().for_each(FieldColumn::append_null);
                    Some(reason)
                }
            };
            if let Some(reason) = reason {
                failures.push(row, reason);
            }
        }
        let columns = columns.into_iter().map(|column| column.finish(bodies));
        Ok(Parsed { columns: columns.collect::<Result<_, _>>()?, failures })
    }
}

impl RegexParser {
    /// Finds the groups in a body.
    ///
    /// # Errors
    /// When the body is no text, or does not match.
    fn matched(&self, body: &[u8], groups: &mut CaptureLocations) -> Result<(), Reason> {
        let unreadable = |expected: &'static str| Reason::unreadable(None, expected, body, 0);
        let text = std::str::from_utf8(body).map_err(|_| unreadable("UTF-8"))?;
        self.pattern
            .captures_read(groups, text)
            .map(|_| ())
            .ok_or_else(|| unreadable("a match of the pattern"))
    }

    /// Appends the groups of a body to the columns; gives the first reason why one can't be read.
    fn append(
        &self,
        bodies: &BinaryViewArray,
        row: usize,
        groups: &CaptureLocations,
        columns: &mut [FieldColumn<'_>],
    ) -> Option<Reason> {
        let mut first = None;
        for (column, (_, group)) in columns.iter_mut().zip(&self.fields) {
            let span = group.and_then(|group| groups.get(group)).map(|(begin, end)| begin..end);
            if let Err(reason) = column.append(bodies, row, span) {
                first.get_or_insert(reason);
            }
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use arrow_array::cast::AsArray;
    use arrow_array::types::{DurationMicrosecondType, Float64Type, Int64Type, TimestampMicrosecondType};
    use arrow_schema::{DataType, TimeUnit};
    use weir_plan::{FieldFormat, Settings, Value};

    use weir_runtime::parsers::WantedField;

    use super::*;

    fn settings(pattern: &str) -> Settings {
        Settings { values: BTreeMap::from([("pattern".to_owned(), Value::Text(pattern.to_owned()))]) }
    }

    fn field(name: &str, data_type: DataType, nullable: bool, format: FieldFormat) -> WantedField {
        WantedField { name: name.to_owned(), format, data_type, nullable }
    }

    fn plain(name: &str, data_type: DataType, nullable: bool) -> WantedField {
        field(name, data_type, nullable, FieldFormat::Plain)
    }

    fn parsed(pattern: &str, fields: Vec<WantedField>, bodies: &[&[u8]]) -> Parsed {
        let parser = make(&ParserCall { settings: &settings(pattern), fields, strict: false }).unwrap();
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

    /// The compiler warns of the fields that can't be read.
    #[test]
    fn exactly_the_listed_fields_are_read() {
        let types = [
            DataType::Boolean,
            DataType::Int64,
            DataType::UInt64,
            DataType::Float64,
            DataType::Decimal128(10, 2),
            DataType::Utf8View,
            DataType::BinaryView,
            DataType::FixedSizeBinary(16),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            DataType::Duration(TimeUnit::Microsecond),
        ];
        let formats = [
            FieldFormat::Plain,
            FieldFormat::Within(0, 9),
            FieldFormat::Pattern("%Y-%m-%dT%H:%M:%S%z".to_owned()),
            FieldFormat::Unit(Duration::from_secs(1)),
        ];
        for data_type in types {
            for format in &formats {
                let fields = vec![field("a", data_type.clone(), false, format.clone())];
                let settings = settings("(?<a>.*)");
                let is_read = make(&ParserCall { settings: &settings, fields, strict: false }).is_ok();
                let listed = weir_plan::support::reads_text(&data_type, format);
                assert_eq!(is_read, listed, "{data_type:?}, {format:?}");
            }
        }
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
            make(&ParserCall { settings: &settings, fields, strict: false }).err().unwrap()
        };
        let lists = DataType::List(arrow_schema::Field::new("item", DataType::Utf8View, false).into());
        assert!(refused(vec![plain("a", lists, false)]).starts_with("its field `a` of [Text]"));
        assert_eq!(refused(vec![plain("b", DataType::Utf8View, false)]), "its `pattern` has no group `b`");
    }
}
