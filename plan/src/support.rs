//! The parts of the language and of the library that this version carries out.
//!
//! The compiler warns about other parts at their places, and the runtime refuses them. Both take the answers and the words
//! from here; tests of the runtime and of the library hold this module against what they do.

use arrow_schema::{DataType, TimeUnit};

use crate::{Action, Arithmetic, Expression, Leg, OnFailure, Operation, Pattern, Route, Value};

/// The sources that are carried out.
pub const SOURCES: &[&str] = &["files", "generate", "hdfs", "http", "kafka", "stdin", "syslog", "tcp_lines"];
/// The channels that are carried out.
pub const CHANNELS: &[&str] = &["file", "kafka", "memory"];
/// The channels whose events outlast the agent.
pub const DURABLE_CHANNELS: &[&str] = &["file", "kafka"];
/// The sinks that are carried out.
pub const SINKS: &[&str] = &["files", "hdfs", "kafka", "null", "stdout"];
/// The sinks that reject an event which can never be written, to the rejects of the flow.
pub const REJECTING_SINKS: &[&str] = &["kafka"];
/// Why a decision about the way of events must not vary.
pub const VARYING_DECISION: &str =
    "which may decide differently when it is made again for the same event, so that the event gets lost";
/// Why a decision must not depend on some headers before a durable channel, or with a promise that stores positions.
pub const VARYING_HEADER: &str = "which depends on a header that may be another one when the source reads the event again after a \
                                  crash, so that the event gets lost";
/// Why a decision must not depend on a lookup table where a restart makes it again.
pub const VARYING_TABLE: &str =
    "which depends on a lookup table that may have other rows after a restart, so that the event gets lost";
/// The sources that read events again, each with the headers of its events that may differ then: a file may have been renamed,
/// and the time of the reading is another one.
const VARYING_HEADERS: &[(&str, &[&str])] =
    &[("files", &["@file", "@timestamp"]), ("generate", &["@timestamp"])];
/// A `balance` whose sinks don't know which events the others have.
pub const LOOSE_BALANCE: &str = "`balance` without `by` with the promise `exactly_once`";
/// A `failover` whose branches don't know which events the others have.
pub const LOOSE_FAILOVER: &str = "`failover` with the promise `exactly_once`";
/// A branch of a `failover` with another fork.
pub const FORKED_BRANCH: &str = "a `failover` with another fork within it";
/// A step in a branch of a `failover` that can't be taken back once it was applied.
pub const BINDING_STEP: &str =
    "a step that rejects or has state, in a branch of a `failover` before a channel";
/// Why a step that rejects must not follow an `explode` behind a channel.
pub const REJECTED_ELEMENT: &str = "a step that rejects after an `explode` behind a channel";
/// Why an `explode` must not be behind a channel with the promise `exactly_once`.
pub const EXPLODED_BEHIND_A_CHANNEL: &str = "`explode` behind a channel with the promise `exactly_once`";
/// Why an `explode` must not be before a volatile channel with the promise `exactly_once`.
pub const EXPLODED_INTO_A_VOLATILE_CHANNEL: &str =
    "`explode` before a channel that is not durable with the promise `exactly_once`";
/// Why several branches of a `copy` behind a channel must not lead to one sink where positions are stored.
pub const COPIED_TO_ONE_SINK: &str = "a `copy` behind a channel with several branches to one sink with the promise `exactly_once` or `at_most_once`";
/// A path behind a channel from which no sink takes events, so that nobody reads the channel and applies the steps.
pub const DEAD_PATH: &str = "a path behind a channel that drops or rejects all events";
/// Returns the headers of this kind of source that may differ when the source reads an event again.
pub fn varying_headers(kind: &str) -> impl Iterator<Item = String> {
    let of_kind = VARYING_HEADERS.iter().filter(move |(of, _)| *of == kind);
    of_kind.flat_map(|(_, headers)| headers.iter().map(|header| header.to_string()))
}

/// The functions of the library that are carried out.
#[rustfmt::skip]
pub const FUNCTIONS: &[&str] = &[
    "abs", "after", "after_last", "base64_decode", "base64_encode", "base64url_decode", "base64url_encode",
    "before", "before_last", "bit_and", "bit_or", "bit_xor", "bool", "bool_at", "bucket", "byte_count",
    "bytes", "camel_case", "capitalize", "capture", "ceil", "clamp", "concat", "contains", "contains_all",
    "count", "count_matches", "crc32", "day", "day_of_year", "days", "decimal", "distinct", "duration",
    "ends_with", "equals_ignoring_case", "exp", "find_all", "first", "float", "float_at", "floor",
    "format_float", "format_int", "format_time", "from_seconds", "from_unix_microseconds",
    "from_unix_milliseconds", "from_unix_seconds", "gunzip", "gzip", "hex_decode", "hex_encode",
    "hmac_sha256", "hostname", "hour", "hours", "html_escape", "in_network", "index_in", "index_of", "int",
    "int_at", "ip", "ip_version", "is_blank", "is_ip", "is_json", "is_loopback", "is_multicast", "is_private",
    "is_time", "join", "json", "json_at", "json_count", "json_kind", "json_names", "json_text", "kebab_case",
    "last", "last_index_of", "length", "lines", "ln", "log10", "lower", "map_size", "mask_ip", "max",
    "max_of", "md5", "microseconds", "milliseconds", "min", "min_of", "minute", "minutes", "modulo", "month",
    "names", "now", "null_if", "occurrences", "pad_end", "pad_start", "part", "pascal_case", "power",
    "quarter", "query_value", "quotient", "random", "random_int", "redact", "repeat", "replace",
    "replace_bytes", "replace_regex", "reverse", "reversed", "round", "second", "seconds", "sha1", "sha256",
    "sha512", "shift_left", "shift_right", "sign", "slice", "snake_case", "sorted", "split", "split_regex",
    "sqrt", "squeeze", "start_of_day", "starts_with", "sublist", "substring", "sum", "text", "text_at",
    "texts_at", "time", "to_float", "to_int", "to_size", "trim", "trim_end", "trim_start", "truncate",
    "truncate_time", "unix_microseconds", "unix_milliseconds", "unix_seconds", "unzstd", "upper",
    "url_decode", "url_encode", "url_fragment", "url_host", "url_path", "url_port", "url_query", "url_scheme",
    "utf8", "utf8_lossy", "uuid", "uuid_v7", "values", "week", "weekday", "without_prefix", "without_suffix",
    "words", "xxh3", "year", "zstd",
];
/// The parsers of the library that are carried out.
pub const PARSERS: &[&str] =
    &["access_log", "avro", "csv", "grok", "json", "kv", "logfmt", "regex", "syslog"];

/// Returns whether a kind of component is carried out. The role is `source`, `channel` or `sink`.
pub fn has_kind(role: &str, kind: &str) -> bool {
    let kinds = match role {
        "source" => SOURCES,
        "channel" => CHANNELS,
        _ => SINKS,
    };
    kinds.contains(&kind)
}

/// Returns the part of an action that is not carried out, without expressions.
pub fn unsupported_step(action: &Action) -> Option<String> {
    match action {
        Action::Keep(_)
        | Action::Drop(_)
        | Action::Set { .. }
        | Action::Unset(_)
        | Action::Rename { .. }
        | Action::Select(_)
        | Action::Let { .. }
        | Action::Reject { .. }
        | Action::Check { .. }
        | Action::Explode(_)
        | Action::Flatten { .. }
        | Action::Throttle(_)
        | Action::Sample(_)
        | Action::Dedupe { .. } => None,
        Action::Parse { parser, .. } if !PARSERS.contains(&parser.as_str()) => {
            Some(format!("the parser `{parser}`"))
        }
        Action::Parse { .. } => None,
    }
}

/// Returns the operation of an expression if it is not carried out. Its operands are not considered.
pub fn unsupported_operation(expression: &Expression) -> Option<String> {
    let is_supported = match &expression.operation {
        Operation::Literal(value) => is_constant(value, &expression.data_type),
        Operation::Arithmetic(operator, left, right) => {
            is_computed(*operator, &left.data_type, &right.data_type)
        }
        Operation::Negate(operand) => matches!(
            operand.data_type,
            DataType::Int64
                | DataType::Float64
                | DataType::Decimal128(..)
                | DataType::Duration(TimeUnit::Microsecond)
        ),
        Operation::OneOf(operand, values) => {
            values.iter().all(|value| is_constant(value, &operand.data_type))
        }
        Operation::Match { subject, arms, .. } => {
            let fits = |value: &Value| is_constant(value, &subject.data_type);
            arms.iter().flat_map(|arm| &arm.patterns).all(|pattern| match pattern {
                Pattern::Value(value) => fits(value),
                Pattern::Range(from, to) => fits(from) && fits(to),
                Pattern::OneOf(values) => values.iter().all(fits),
            })
        }
        Operation::Call { function, .. } => FUNCTIONS.contains(&function.as_str()),
        Operation::Index(of, _) | Operation::Contains(of, _)
            if matches!(of.operation, Operation::Literal(Value::Record(_))) =>
        {
            return (!is_constant_map(of)).then(|| operation(of));
        }
        Operation::Column(_)
        | Operation::Not(_)
        | Operation::And(..)
        | Operation::Or(..)
        | Operation::Compare(..)
        | Operation::IsNull(_)
        | Operation::IsEmpty(_)
        | Operation::Coalesce(..)
        | Operation::Otherwise(..)
        | Operation::Between(..)
        | Operation::Matches(..)
        | Operation::If { .. }
        | Operation::Filled(_)
        | Operation::Local(_)
        | Operation::Field(..)
        | Operation::Contains(..)
        | Operation::Index(..)
        | Operation::List(_)
        | Operation::Table(_)
        | Operation::Apply { .. } => true,
    };
    (!is_supported).then(|| operation(expression))
}

/// Returns the part of a branch of a `failover` that is not carried out.
pub fn unsupported_branch(branch: &Leg) -> Option<&'static str> {
    match branch.to {
        Route::Sink(_) => None,
        Route::Channel(_) => {
            branch.steps.iter().any(|step| is_binding(&step.action, step.on_failure)).then_some(BINDING_STEP)
        }
        _ => Some(FORKED_BRANCH),
    }
}

/// Returns whether a step can't be taken back once it was applied, since it rejects events or has state.
pub fn is_binding(action: &Action, on_failure: Option<OnFailure>) -> bool {
    let has_state = matches!(action, Action::Throttle { .. } | Action::Dedupe { .. });
    let rejects = matches!(action, Action::Reject { .. } | Action::Check { .. });
    has_state || rejects || on_failure == Some(OnFailure::Reject)
}

fn is_computed(operator: Arithmetic, left: &DataType, right: &DataType) -> bool {
    use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
    match (left, right) {
        (DataType::Int64, DataType::Int64) => true,
        (DataType::Float64, DataType::Float64) => operator != Remainder,
        (DataType::Decimal128(..), DataType::Decimal128(..) | DataType::Int64)
        | (DataType::Int64, DataType::Decimal128(..)) => matches!(operator, Add | Subtract | Multiply),
        (DataType::Duration(_), DataType::Duration(_)) => matches!(operator, Add | Subtract | Divide),
        (DataType::Duration(_), DataType::Int64) => matches!(operator, Multiply | Divide),
        (DataType::Int64, DataType::Duration(_)) => operator == Multiply,
        (DataType::Timestamp(..), DataType::Duration(_)) => matches!(operator, Add | Subtract),
        (DataType::Timestamp(..), DataType::Timestamp(..)) => operator == Subtract,
        (DataType::UInt64, DataType::UInt64) => matches!(operator, Add | Subtract | Divide),
        (DataType::UInt64, DataType::Int64) | (DataType::Int64, DataType::UInt64) => operator == Multiply,
        (DataType::Utf8View, DataType::Utf8View) => operator == Add,
        _ => false,
    }
}

fn is_constant(value: &Value, data_type: &DataType) -> bool {
    match (value, data_type) {
        (Value::List(items), DataType::List(field)) => {
            return items.iter().all(|item| is_constant(item, field.data_type()));
        }
        (Value::Record(entries), DataType::Map(field, _)) => {
            let DataType::Struct(fields) = field.data_type() else { return false };
            let is_value = |value: &Value| fields.get(1).is_some_and(|of| is_constant(value, of.data_type()));
            return entries.values().all(is_value);
        }
        (Value::Text(text), DataType::FixedSizeBinary(16)) => {
            return text.parse::<std::net::IpAddr>().is_ok();
        }
        _ => {}
    }
    matches!(
        (value, data_type),
        (Value::Null, _)
            | (Value::Bool(_), DataType::Boolean)
            | (Value::Int(_), DataType::Int64 | DataType::Timestamp(TimeUnit::Microsecond, Some(_)))
            | (Value::Float(_), DataType::Float64)
            | (Value::Text(_), DataType::Utf8View | DataType::BinaryView)
            | (Value::Regex(_), DataType::Utf8View)
            | (Value::Size(_), DataType::UInt64)
            | (Value::Duration(_) | Value::NegativeDuration(_), DataType::Duration(TimeUnit::Microsecond))
            | (Value::Decimal(_), DataType::Decimal128(..))
            | (Value::Secret(_), DataType::Utf8View)
    )
}

/// Returns whether the values of a constant map are constants that are carried out.
fn is_constant_map(map: &Expression) -> bool {
    let (Operation::Literal(Value::Record(entries)), DataType::Map(entry, _)) =
        (&map.operation, &map.data_type)
    else {
        return false;
    };
    let DataType::Struct(fields) = entry.data_type() else { return false };
    fields
        .get(1)
        .is_some_and(|value| entries.values().all(|constant| is_constant(constant, value.data_type())))
}

/// Names the operation of an expression as its author knows it.
pub fn operation(expression: &Expression) -> String {
    let data_type = || crate::type_name(&expression.data_type);
    match &expression.operation {
        Operation::Literal(_) => format!("a constant of the type {}", data_type()),
        Operation::Column(name) => format!("the column `{name}`"),
        Operation::Local(_) => "a value of `let`".to_owned(),
        Operation::Not(_) => "`not`".to_owned(),
        Operation::And(..) => "`and`".to_owned(),
        Operation::Or(..) => "`or`".to_owned(),
        Operation::Compare(comparison, ..) => format!("`{}`", comparison.symbol()),
        Operation::IsNull(_) => "`is null`".to_owned(),
        Operation::IsEmpty(_) => "`is empty`".to_owned(),
        Operation::Arithmetic(operator, ..) => format!("`{}` that gives {}", operator.symbol(), data_type()),
        Operation::Negate(_) => format!("`-` of {}", data_type()),
        Operation::Coalesce(..) => "`??`".to_owned(),
        Operation::Otherwise(..) => "`else` in an expression".to_owned(),
        Operation::OneOf(..) | Operation::Between(..) => "`in`".to_owned(),
        Operation::Contains(..) => "`in` for a list that events have".to_owned(),
        Operation::Matches(..) => "`matches`".to_owned(),
        Operation::If { .. } => "`if`".to_owned(),
        Operation::Match { .. } => "`match`".to_owned(),
        Operation::Table(table) => format!("the lookup table \"{}\"", table.path),
        Operation::Filled(_) => "a text with holes".to_owned(),
        Operation::List(_) => "a list".to_owned(),
        Operation::Field(_, name) => format!("the field `.{name}`"),
        Operation::Index(..) => "`[…]`".to_owned(),
        Operation::Call { function, .. } => format!("the function `{function}`"),
        Operation::Apply { .. } => "a function of the program".to_owned(),
    }
}
