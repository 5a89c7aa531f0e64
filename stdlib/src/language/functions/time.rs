//! Functions of time.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use weir_plan::{TIME_MAX, microseconds_of, shown_in};
use weir_runtime::Registry;
use weir_runtime::batch::Column;
use weir_runtime::expressions::{Call, Reason};

use super::arguments::{Durations, Floats, Ints, Texts, Times, constant_text};
use super::results::{Answer, Made, durations, floats, ints, kernel, not, texts, times, truths};
use crate::tools::template::{TimePattern, TimeText};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

pub(super) fn register(registry: Registry) -> Registry {
    let registry = registry
        .function("now", |call| {
            let clock = call.clock();
            kernel(move |_, _| Ok(Column::constant_time(clock.now()).into()))
        })
        .function("time", time)
        .function("format_time", format_time)
        .function("truncate_time", |_| kernel(truncate_time))
        .function("start_of_day", start_of_day)
        .function("year", |call| shown(call, |time| i64::from(time.year())))
        .function("quarter", |call| shown(call, |time| i64::from((time.month() - 1) / 3 + 1)))
        .function("month", |call| shown(call, |time| i64::from(time.month())))
        .function("week", |call| shown(call, |time| i64::from(time.date().iso_week_date().week())))
        .function("day", |call| shown(call, |time| i64::from(time.day())))
        .function("day_of_year", |call| shown(call, |time| i64::from(time.date().day_of_year())))
        .function("weekday", |call| shown(call, |time| i64::from(time.weekday().to_monday_one_offset())))
        .function("hour", |call| shown(call, |time| i64::from(time.hour())))
        .function("minute", |call| shown(call, |time| i64::from(time.minute())))
        .function("second", |call| shown(call, |time| i64::from(time.second())));
    of_durations(since_1970(registry))
}

fn since_1970(registry: Registry) -> Registry {
    registry
        .function("unix_seconds", |_| counted(SECOND))
        .function("unix_milliseconds", |_| counted(1_000))
        .function("unix_microseconds", |_| counted(1))
        .function("from_unix_seconds", |_| from_count(SECOND))
        .function("from_unix_milliseconds", |_| from_count(1_000))
        .function("from_unix_microseconds", |_| from_count(1))
}

fn of_durations(registry: Registry) -> Registry {
    registry
        .function("duration", |_| {
            kernel(|arguments, rows| {
                let values = Texts::of(arguments, 0)?;
                Ok(durations(rows, |row| {
                    let Some(text) = values.get(row) else { return Ok(None) };
                    duration(text).map(Some).ok_or_else(|| not("a Duration", text.as_bytes()))
                }))
            })
        })
        .function("from_seconds", |_| {
            kernel(|arguments, rows| {
                let values = Floats::of(arguments, 0)?;
                Ok(durations(rows, |row| {
                    let Some(seconds) = values.get(row) else { return Ok(None) };
                    let microseconds = (seconds * 1e6).round();
                    // Both bounds are exact in a `Float`.
                    let fits = (-9.223_372_036_854_775e18..9.223_372_036_854_775e18).contains(&microseconds);
                    if fits { Ok(Some(microseconds as i64)) } else { Err(Reason::Overflow) }
                }))
            })
        })
        .function("days", |_| length(DAY))
        .function("hours", |_| length(HOUR))
        .function("minutes", |_| length(MINUTE))
        .function("seconds", |_| length(SECOND))
        .function("milliseconds", |_| whole_length(1_000))
        .function("microseconds", |_| whole_length(1))
        .function("is_time", is_time)
}

/// Returns the time zone that an argument names.
fn zone(call: &Call<'_>, index: usize) -> Result<TimeZone, String> {
    TimeZone::get(&constant_text(call, index)?).map_err(|error| error.to_string())
}

/// Returns the instant; the nearest that a clock can show if it is beyond the years -9999 and 9999.
fn instant(microseconds: i64) -> Timestamp {
    let nearest = if microseconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(microseconds).unwrap_or(nearest)
}

/// Reads a time by a pattern. A time without a zone is one of `zone`.
fn read(pattern: &str, zone: &TimeZone, text: &str) -> Option<i64> {
    let time = BrokenDownTime::parse(pattern, text).ok()?;
    // The text has the offset or the seconds since 1970, or the name of a time zone, or neither.
    let timestamp = match time.to_timestamp() {
        Ok(timestamp) => timestamp,
        Err(_) if time.iana_time_zone().is_some() => time.to_zoned().ok()?.timestamp(),
        Err(_) => time.to_datetime().ok()?.to_zoned(zone.clone()).ok()?.timestamp(),
    };
    Some(microseconds_of(timestamp))
}

/// Makes `time`, whose pattern and zone are constants.
fn time(call: &Call<'_>) -> Made {
    let (pattern, zone) = (constant_text(call, 1)?, zone(call, 2)?);
    kernel(move |arguments, rows| {
        let values = Texts::of(arguments, 0)?;
        Ok(times(rows, |row| {
            let Some(text) = values.get(row) else { return Ok(None) };
            read(&pattern, &zone, text).map(Some).ok_or_else(|| not("a Time by the pattern", text.as_bytes()))
        }))
    })
}

fn is_time(call: &Call<'_>) -> Made {
    let pattern = constant_text(call, 1)?;
    kernel(move |arguments, rows| {
        let values = Texts::of(arguments, 0)?;
        let is_time = |text: &str| read(&pattern, &TimeZone::UTC, text).is_some();
        Ok(truths(rows, |row| Ok(values.get(row).map(is_time))))
    })
}

/// Makes `format_time`. The text is made once for all times that have the same.
fn format_time(call: &Call<'_>) -> Made {
    let pattern = TimePattern::new(&constant_text(call, 1)?, &zone(call, 2)?);
    let pattern = pattern.map_err(|error| error.to_string())?;
    kernel(move |arguments, rows| {
        let (values, mut last) = (Times::of(arguments, 0)?, TimeText::default());
        texts(rows, |row, out| {
            Ok(values.get(row).map(|time| out.extend_from_slice(last.at(time, &pattern).as_bytes())))
        })
    })
}

fn truncate_time(arguments: &[Column], rows: usize) -> Answer {
    let (values, units) = (Times::of(arguments, 0)?, Durations::of(arguments, 1)?);
    Ok(times(rows, |row| {
        let Some((time, unit)) = values.get(row).zip(units.get(row)) else { return Ok(None) };
        Ok(Some(if unit <= 0 { time } else { time.saturating_sub(time.rem_euclid(unit)) }))
    }))
}

/// Makes `start_of_day`, whose zone is a constant.
fn start_of_day(call: &Call<'_>) -> Made {
    let zone = zone(call, 1)?;
    kernel(move |arguments, rows| {
        let values = Times::of(arguments, 0)?;
        Ok(times(rows, |row| {
            let Some(time) = values.get(row) else { return Ok(None) };
            let start = instant(time).to_zoned(zone.clone()).start_of_day();
            Ok(Some(start.map_or(time, |start| start.timestamp().as_microsecond())))
        }))
    })
}

/// Makes a function of what a clock shows in a zone.
fn shown(call: &Call<'_>, part: fn(DateTime) -> i64) -> Made {
    let zone = zone(call, 1)?;
    kernel(move |arguments, rows| {
        let values = Times::of(arguments, 0)?;
        Ok(ints(rows, |row| Ok(values.get(row).map(|time| part(shown_in(&zone, time))))))
    })
}

fn counted(unit: i64) -> Made {
    kernel(move |arguments, rows| {
        let values = Times::of(arguments, 0)?;
        Ok(ints(rows, |row| Ok(values.get(row).map(|time| time.div_euclid(unit)))))
    })
}

/// Makes a function from a number of units since 1970 to a time that a clock can show.
fn from_count(unit: i64) -> Made {
    kernel(move |arguments, rows| {
        let values = Ints::of(arguments, 0)?;
        Ok(times(rows, |row| values.get(row).map(|count| time_of(count, unit)).transpose()))
    })
}

fn time_of(count: i64, unit: i64) -> Result<i64, Reason> {
    let microseconds = count.checked_mul(unit).ok_or(Reason::Overflow)?;
    let is_shown = (Timestamp::MIN.as_microsecond()..=TIME_MAX).contains(&microseconds);
    if is_shown { Ok(microseconds) } else { Err(Reason::Overflow) }
}

fn length(unit: i64) -> Made {
    kernel(move |arguments, rows| {
        let values = Durations::of(arguments, 0)?;
        let length = |microseconds: i64| microseconds as f64 / unit as f64;
        Ok(floats(rows, |row| Ok(values.get(row).map(length))))
    })
}

fn whole_length(unit: i64) -> Made {
    kernel(move |arguments, rows| {
        let values = Durations::of(arguments, 0)?;
        Ok(ints(rows, |row| Ok(values.get(row).map(|microseconds| microseconds / unit))))
    })
}

/// Reads a duration as the language writes it: a number with a unit, `1.5h`, `-250ms`. None if it is no whole number of
/// microseconds, or larger than a duration can be.
fn duration(text: &str) -> Option<i64> {
    let units = [("ms", 1_000), ("min", MINUTE), ("s", SECOND), ("h", HOUR), ("d", DAY)];
    let (number, unit) = units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))?;
    let number: weir_plan::Decimal = number.parse().ok()?;
    let scale = 10_i128.pow(u32::from(number.scale()));
    let scaled = number.digits().checked_mul(i128::from(unit))?;
    (scaled % scale == 0).then(|| i64::try_from(scaled / scale).ok())?
}
