use super::put_too_large::labelled;
use super::{Description, ShownAmount};

/// A sink that may hold events longer than the peers of a source wait for an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldTooLong {
    /// The time that the peers of the source wait.
    pub waits: ShownAmount,
    /// The time that the sink holds events.
    pub holds: ShownAmount,
}

impl HeldTooLong {
    pub(super) fn describe(&self) -> Description {
        let HeldTooLong { waits, holds } = self;
        let message = format!(
            "`{}` waits {} for its events to be delivered, but `{}` may hold them for {}",
            waits.component, waits.most, holds.component, holds.most
        );
        let shorter = holds.setting.iter().map(|name| format!("set `{name}` to less than {}", waits.most));
        let longer = waits.setting.iter().map(|name| format!("set `{name}` to more than {}", holds.most));
        let durable = "lead the way through a durable channel, which answers as soon as it has the events";
        let ways: Vec<String> = shorter.chain(longer).chain([durable.to_owned()]).collect();
        labelled(message, [waits, holds]).help(ways.join(", or "))
    }
}
