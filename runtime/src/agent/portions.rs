//! The portions of puts into channels that a `throttle` follows.

use weir_plan::{Action, Leg, Origin, Plan, Route, Value};

use crate::routing::Portion;
use crate::steps::AT_ONCE;

/// Returns the portion of puts into a channel: what its fastest reader lets through at once. A step that drops or adds events
/// before the `throttle` leaves the puts whole: how many of their events come to the `throttle` is not known.
pub(super) fn portion_into(plan: &Plan, channel: &str) -> Portion {
    let paths = plan.flows.iter().flat_map(|flow| &flow.paths);
    let readers = paths.filter(|path| matches!(&path.from, Origin::Channel(name) if name == channel));
    let mut portions = Vec::new();
    readers.for_each(|path| add_readers(&path.leg, Some(Portion::WHOLE), &mut portions));
    portions.into_iter().reduce(Portion::largest).unwrap_or(Portion::WHOLE)
}

/// Adds the portion of each reader of a leg. `portion` is the portion of the steps before; none if they change the number of
/// events.
fn add_readers(leg: &Leg, mut portion: Option<Portion>, portions: &mut Vec<Portion>) {
    for step in &leg.steps {
        match &step.action {
            Action::Throttle(rate) => portion = portion.map(|portion| portion.smallest(of_rate(rate))),
            // The portion that was counted before stays a bound.
            Action::Keep(_)
            | Action::Drop(_)
            | Action::Sample(_)
            | Action::Dedupe { .. }
            | Action::Reject { .. }
            | Action::Check { .. }
            | Action::Explode(_) => portion = portion.filter(|portion| *portion != Portion::WHOLE),
            _ => {}
        }
    }
    match &leg.to {
        Route::Sink(_) => portions.push(portion.unwrap_or(Portion::WHOLE)),
        Route::Match(_) | Route::Balance { by: Some(_), .. } => {
            let portion = portion.filter(|portion| *portion != Portion::WHOLE);
            leg.to.legs().into_iter().for_each(|leg| add_readers(leg, portion, portions));
        }
        // Optional readers hold no events.
        route => route.required_legs().into_iter().for_each(|leg| add_readers(leg, portion, portions)),
    }
}

/// Returns what a rate lets through at once.
fn of_rate(rate: &Value) -> Portion {
    let at_once = |rate: f64| (rate * AT_ONCE.as_secs_f64()).max(1.0);
    match rate {
        // A float becomes the nearest integer that fits.
        Value::EventRate(rate) => Portion { events: at_once(*rate) as usize, ..Portion::WHOLE },
        Value::ByteRate(rate) => Portion { bytes: at_once(*rate) as u64, ..Portion::WHOLE },
        _ => Portion::WHOLE,
    }
}
