use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, Scalar, StructArray};
use arrow_schema::{Field, Schema};
use weir_plan::Hole;
use weir_runtime::batch::Origins;

use super::*;

fn text(text: &str) -> TemplatePart {
    TemplatePart::Text(text.to_string())
}

fn hole(column: &str, format: HoleFormat) -> TemplatePart {
    TemplatePart::Hole(Hole { column: column.to_string(), format })
}

fn time(pattern: &str) -> TemplatePart {
    hole("@time", HoleFormat::Time(pattern.to_string()))
}

fn template(parts: Vec<TemplatePart>) -> Template {
    Template { parts }
}

fn batch(columns: Vec<(&str, Column)>, rows: usize) -> Batch {
    let fields = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), false));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    Batch::new(schema, columns, rows, Origins::default()).unwrap()
}

fn texts(values: &[&str]) -> Column {
    Column::Array(Arc::new(StringViewArray::from_iter_values(values)))
}

fn at(rfc3339: &str) -> i64 {
    rfc3339.parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

fn times(values: &[&str]) -> Batch {
    batch(vec![("@time", Column::times(values.iter().map(|value| at(value)).collect()))], values.len())
}

fn rendered(renderer: &Renderer, batch: &Batch) -> Vec<String> {
    let bound = renderer.bind(batch).unwrap();
    let row = |row| {
        let mut text = String::new();
        bound.render(row, &mut text);
        text
    };
    (0..batch.rows()).map(row).collect()
}

/// Renders a value in a path of one hole.
fn segment(value: &str) -> String {
    let renderer = Renderer::for_path(&template(vec![hole("@a", HoleFormat::Plain)]), "UTC", None).unwrap();
    rendered(&renderer, &batch(vec![("@a", texts(&[value]))], 1)).remove(0)
}

#[test]
fn values_of_each_type_are_written() {
    let parts = vec![
        hole("@int", HoleFormat::Padded(4)),
        text("|"),
        hole("@int", HoleFormat::Plain),
        text("|"),
        hole("@text", HoleFormat::Plain),
        text("|"),
        hole("@float", HoleFormat::Plain),
        text("|"),
        hole("body", HoleFormat::Plain),
        text("|"),
        hole("@time", HoleFormat::Plain),
    ];
    let body = Column::Array(Arc::new(BinaryViewArray::from_iter_values([b"a/\xff", b"b/.", b"c/."])));
    let batch = batch(
        vec![
            ("@int", Int64Array::from(vec![7, -7, 12345]).into()),
            ("@text", Column::constant_text("../x")),
            ("@float", Column::Array(Arc::new(Float64Array::from(vec![0.5, 1.0, -2.25])))),
            ("body", body),
            ("@time", Column::constant_time(at("2026-01-02T03:04:05.5Z"))),
        ],
        3,
    );
    let renderer = Renderer::new(&template(parts), "Europe/Berlin").unwrap();
    assert_eq!(
        rendered(&renderer, &batch),
        [
            "0007|7|../x|0.5|a/\u{fffd}|2026-01-02T04:04:05.5+01:00",
            "-007|-7|../x|1|b/.|2026-01-02T04:04:05.5+01:00",
            "12345|12345|../x|-2.25|c/.|2026-01-02T04:04:05.5+01:00",
        ]
    );
}

#[test]
fn runs_end_where_any_hole_changes() {
    let parts = vec![time("%H"), hole("@a", HoleFormat::Plain), hole("@n", HoleFormat::Plain)];
    let long = "a value that no view holds in itself";
    let columns = vec![
        ("@time", Column::times([0, 59, 60, 61, 62].map(|minute| minute * 60_000_000).to_vec())),
        ("@a", texts(&[long, long, long, "b", "b"])),
        ("@n", Int64Array::from(vec![1, 1, 1, 1, 2]).into()),
    ];
    let batch = batch(columns, 5);
    let renderer = Renderer::new(&template(parts), "UTC").unwrap();
    let bound = renderer.bind(&batch).unwrap();
    assert_eq!([0, 1, 2, 3, 4].map(|row| bound.run_end(row)), [2, 2, 3, 4, 5]);
    let constant =
        Renderer::new(&template(vec![text("fixed"), hole("@c", HoleFormat::Plain)]), "UTC").unwrap();
    let columns = vec![("@c", Column::constant_text("x")), ("@n", Int64Array::from(vec![1, 2]).into())];
    assert_eq!(constant.bind(&self::batch(columns, 2)).unwrap().run_end(0), 2);
}

#[test]
fn times_are_written_in_the_zone() {
    let days = times(&["2026-06-30T21:59:59.999999Z", "2026-06-30T22:00:00Z", "1969-12-31T23:30:00Z"]);
    let renderer =
        Renderer::for_path(&template(vec![text("/l/"), time("%Y/%m/%d")]), "Europe/Berlin", None).unwrap();
    assert_eq!(rendered(&renderer, &days), ["/l/2026/06/30", "/l/2026/07/01", "/l/1970/01/01"]);
}

#[test]
fn a_repeated_hour_and_a_skipped_hour_are_written_by_the_clock() {
    let back = times(&[
        "2026-10-25T00:59:59Z",
        "2026-10-25T01:00:00Z",
        "2026-10-25T01:59:59Z",
        "2026-10-25T02:00:00Z",
        "2026-10-25T00:30:00Z",
    ]);
    let renderer = Renderer::new(&template(vec![time("%H %Z")]), "Europe/Berlin").unwrap();
    assert_eq!(rendered(&renderer, &back), ["02 CEST", "02 CET", "02 CET", "03 CET", "02 CEST"]);
    let forward = times(&["2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-03-29T00:00:00Z"]);
    assert_eq!(rendered(&renderer, &forward), ["01 CET", "03 CEST", "01 CET"]);
}

#[test]
fn a_transition_within_a_unit_ends_the_reuse_of_text() {
    // Lord Howe's clocks go back by half an hour, within an hour.
    let hours = times(&["2026-04-04T14:59:00Z", "2026-04-04T15:00:00Z", "2026-04-04T15:31:00Z"]);
    let renderer = Renderer::new(&template(vec![time("%H%z")]), "Australia/Lord_Howe").unwrap();
    assert_eq!(rendered(&renderer, &hours), ["01+1100", "01+1030", "02+1030"]);
    let days = times(&["2026-03-28T23:30:00Z", "2026-03-29T21:30:00Z", "2026-03-29T22:30:00Z"]);
    let renderer = Renderer::new(&template(vec![time("%d %Z")]), "Europe/Berlin").unwrap();
    assert_eq!(rendered(&renderer, &days), ["29 CET", "29 CEST", "30 CEST"]);
}

#[test]
fn each_pattern_is_written_as_without_reuse() {
    let step = 7 * 60_000_000 + 13_000_017;
    let start = at("2026-03-28T20:00:00Z");
    let column = Column::times((0..2_000).map(|row| start + row * step).collect());
    let batch = batch(vec![("@time", column)], 2_000);
    for pattern in ["%Y-%m-%d", "%j %U", "%-H%p", "%H:%M", "%s", "%.3f", "%S%f", "%c", "%:Q", "100%%"] {
        for zone in ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"] {
            let renderer = Renderer::new(&template(vec![time(pattern)]), zone).unwrap();
            let zone = jiff::tz::TimeZone::get(zone).unwrap();
            for (row, text) in rendered(&renderer, &batch).into_iter().enumerate() {
                let time = jiff::Timestamp::from_microsecond(start + row as i64 * step).unwrap();
                assert_eq!(text, time.to_zoned(zone.clone()).strftime(pattern).to_string(), "{pattern}");
            }
        }
    }
}

#[test]
fn a_time_beyond_the_calendar_is_written_as_a_number() {
    let column = Column::times(vec![i64::MAX, i64::MIN, 0]);
    let renderer = Renderer::new(&template(vec![time("%Y")]), "UTC").unwrap();
    let batch = batch(vec![("@time", column)], 3);
    assert_eq!(rendered(&renderer, &batch), ["9223372036854775807", "-9223372036854775808", "1970"]);
    assert_eq!(renderer.bind(&batch).unwrap().run_end(0), 1);
}

#[test]
fn times_in_a_path_are_rounded_by_the_clock_of_the_zone() {
    let rounded = |seconds: u64, zone: &str, pattern: &str, instants: &[&str]| {
        let round = Some(std::time::Duration::from_secs(seconds));
        let renderer = Renderer::for_path(&template(vec![time(pattern)]), zone, round).unwrap();
        rendered(&renderer, &times(instants))
    };
    let quarters = ["2026-01-01T12:14:59Z", "2026-01-01T12:15:00Z", "2026-01-01T12:44:00Z"];
    assert_eq!(rounded(900, "UTC", "%H%M", &quarters), ["1200", "1215", "1230"]);
    assert_eq!(rounded(900, "Asia/Kathmandu", "%H%M", &quarters), ["1745", "1800", "1815"]);
    assert_eq!(rounded(86_400, "Asia/Kathmandu", "%d%H%M", &["2026-01-01T18:20:00Z"]), ["020000"]);
    // On the day when the clock goes forward, noon is eleven hours after midnight.
    assert_eq!(rounded(86_400, "Europe/Berlin", "%d%H%M", &["2026-03-29T10:00:00Z"]), ["290000"]);
    assert_eq!(rounded(43_200, "Europe/Berlin", "%d%H", &["2026-03-29T10:00:00Z"]), ["2912"]);
    // A day is no multiple of seven hours.
    let spread: Vec<String> =
        (0..48).map(|hour| format!("2026-01-{:02}T{:02}:30:00Z", 1 + hour / 24, hour % 24)).collect();
    let spread: Vec<&str> = spread.iter().map(String::as_str).collect();
    let whole = rounded(7 * 3_600, "UTC", "%d", &spread);
    let each: Vec<String> = spread.iter().flat_map(|one| rounded(7 * 3_600, "UTC", "%d", &[one])).collect();
    assert_eq!(whole, each);
}

#[test]
fn values_stay_within_their_segment() {
    for (value, written) in [
        ("web-1.example", "web-1.example"),
        ("a/b", "a%2Fb"),
        ("..", "%2E."),
        (".", "%2E"),
        (".hidden", "%2Ehidden"),
        ("/", "%2F"),
        ("100%", "100%25"),
        ("a:b", "a%3Ab"),
        ("nul\0new\nline", "nul%00new%0Aline"),
        ("", "__empty__"),
        ("__empty__", "%5F_empty__"),
        ("grün", "grün"),
    ] {
        assert_eq!(segment(value), written);
    }
}

#[test]
fn bytes_in_a_path_can_be_decoded() {
    let renderer = Renderer::for_path(&template(vec![hole("body", HoleFormat::Plain)]), "UTC", None).unwrap();
    let body = Column::Array(Arc::new(BinaryViewArray::from_iter_values([b"\xff./\xc3".as_slice(), b"a"])));
    assert_eq!(rendered(&renderer, &batch(vec![("body", body)], 2)), ["%FF.%2F%C3", "a"]);
}

#[test]
fn a_value_can_not_reach_the_parent_together_with_its_neighbours() {
    let parts =
        vec![text("/lake/"), hole("@a", HoleFormat::Plain), hole("@b", HoleFormat::Plain), text("/x")];
    let renderer = Renderer::for_path(&template(parts), "UTC", None).unwrap();
    let values = batch(vec![("@a", texts(&[".", "", "x"])), ("@b", texts(&[".", "", ".."]))], 3);
    assert_eq!(
        rendered(&renderer, &values),
        ["/lake/%2E%2E/x", "/lake/__empty____empty__/x", "/lake/x%2E./x"]
    );
}

#[test]
fn a_segment_that_is_too_long_is_cut_and_stays_distinct() {
    let (one, other) = ("ä".repeat(200) + "1", "ä".repeat(200) + "2");
    let (one, other) = (segment(&one), segment(&other));
    assert!(one.len() <= 200 && one.starts_with("ää"), "{one}");
    assert_ne!(one, other);
    assert_eq!(segment(&"x".repeat(200)), "x".repeat(200));
}

#[test]
fn a_path_has_no_empty_segment() {
    let parts = vec![text("/lake//in/"), time("%Y"), text("/")];
    let renderer = Renderer::for_path(&template(parts), "UTC", None).unwrap();
    assert_eq!(rendered(&renderer, &times(&["2026-01-01T00:00:00Z"])), ["/lake/in/2026"]);
    assert_eq!(renderer.fixed_prefix(), "/lake/in/");
}

#[test]
fn every_type_that_a_hole_may_have_is_written() {
    let ip = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let ips = FixedSizeBinaryArray::try_from_iter([ip("::ffff:10.0.0.1"), ip("fe80::1")].into_iter());
    let decimals = arrow_array::Decimal128Array::from(vec![12_345, -5]).with_precision_and_scale(10, 2);
    let bytes = BinaryViewArray::from_iter_values([b"a".as_slice(), b"\xff/"]);
    let of = |values: Arc<dyn arrow_array::Array>| Column::Array(values);
    let columns = |column: &str| match column {
        "@ip" => of(Arc::new(ips.as_ref().unwrap().clone())),
        "@took" => of(Arc::new(arrow_array::DurationMicrosecondArray::from(vec![1_500_000, 60_000_000]))),
        "@price" => of(Arc::new(decimals.as_ref().unwrap().clone())),
        "@size" => of(Arc::new(arrow_array::UInt64Array::from(vec![7, 1 << 40]))),
        "@ratio" => of(Arc::new(Float64Array::from(vec![0.5, -1.0]))),
        _ => of(Arc::new(bytes.clone())),
    };
    let expected = [
        ("@ip", ["10.0.0.1", "fe80%3A%3A1"]),
        ("@took", ["1500ms", "1min"]),
        ("@price", ["123.45", "-0.05"]),
        ("@size", ["7", "1099511627776"]),
        ("@ratio", ["0.5", "-1"]),
        ("body", ["a", "%FF%2F"]),
    ];
    for (column, texts) in expected {
        let renderer = Renderer::for_path(&template(vec![hole(column, HoleFormat::Plain)]), "UTC", None);
        let batch = batch(vec![(column, columns(column))], 2);
        assert_eq!(rendered(renderer.as_ref().unwrap(), &batch), texts, "{column}");
        assert_eq!(renderer.unwrap().bind(&batch).unwrap().run_end(0), 1, "{column}");
    }
}

#[test]
fn a_template_that_can_not_be_rendered_is_refused_with_a_reason() {
    let refused = |parts, zone: &str| Renderer::new(&template(parts), zone).unwrap_err().to_string();
    assert_eq!(refused(vec![], "Europe/Atlantis"), "there is no time zone `Europe/Atlantis`");
    assert_eq!(refused(vec![time("%E")], "UTC"), "the time pattern `%E` can't be written");
    let renderer = Renderer::new(&template(vec![time("%H")]), "UTC").unwrap();
    let refused = |columns| renderer.bind(&batch(columns, 1)).unwrap_err().to_string();
    assert_eq!(refused(vec![]), "the events have no column `@time` for the template's hole");
    assert_eq!(
        refused(vec![("@time", Column::constant_text("x"))]),
        "column `@time` is Utf8View, which a template can't write as a time"
    );
}

/// A hole may name a field of a record, also of one that all events share.
#[test]
fn a_hole_names_a_field_of_a_record() {
    let city: ArrayRef = Arc::new(StringViewArray::from_iter_values(["Kiel", "a/b", "Kiel"]));
    let floor: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let inner = |array: ArrayRef, name: &str| {
        let field = Arc::new(Field::new(name, array.data_type().clone(), false));
        Arc::new(StructArray::from(vec![(field, array)])) as ArrayRef
    };
    let fields = [("city", city), ("building", inner(floor, "floor"))];
    let fields =
        fields.map(|(name, array)| (Arc::new(Field::new(name, array.data_type().clone(), false)), array));
    let place: ArrayRef = Arc::new(StructArray::from(fields.to_vec()));
    let parts = [
        hole("place.city", HoleFormat::Plain),
        text("/"),
        hole("place.building.floor", HoleFormat::Padded(2)),
    ];
    let renderer = Renderer::for_path(&template(parts.to_vec()), "UTC", None).unwrap();
    let all = batch(vec![("place", Column::Array(place.clone()))], 3);
    assert_eq!(rendered(&renderer, &all), ["Kiel/01", "a%2Fb/02", "Kiel/03"]);
    let part = batch(vec![("place", Column::Array(place.slice(1, 2)))], 2);
    assert_eq!(rendered(&renderer, &part), ["a%2Fb/02", "Kiel/03"]);
    let constant = batch(vec![("place", Column::Constant(Scalar::new(place.slice(2, 1))))], 2);
    assert_eq!(rendered(&renderer, &constant), ["Kiel/03", "Kiel/03"]);
    assert_eq!(renderer.bind(&constant).unwrap().run_end(0), 2);

    let missing =
        Renderer::for_path(&template(vec![hole("place.street", HoleFormat::Plain)]), "UTC", None).unwrap();
    assert!(matches!(missing.bind(&all), Err(TemplateError::Missing { column }) if column == "place.street"));
    let record =
        Renderer::for_path(&template(vec![hole("place.building", HoleFormat::Plain)]), "UTC", None).unwrap();
    assert!(matches!(record.bind(&all), Err(TemplateError::Type { .. })));
}
