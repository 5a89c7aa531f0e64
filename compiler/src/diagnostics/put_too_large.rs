use weir_grammar::Span;

use super::{Description, RequiredSetting};

/// A source whose puts may exceed a transaction of the channel behind it, because of settings of the program.
#[derive(Debug, Clone, PartialEq)]
pub struct PutTooLarge(pub TooLarge);

/// A source whose puts may exceed a transaction of the channel behind it, because of at least one default.
#[derive(Debug, Clone, PartialEq)]
pub struct DefaultPutTooLarge(pub TooLarge);

/// The data of [`PutTooLarge`] and [`DefaultPutTooLarge`].
#[derive(Debug, Clone, PartialEq)]
pub struct TooLarge {
    /// The most that the source puts at once.
    pub put: ShownAmount,
    /// The most that the channel takes in one transaction.
    pub taken: ShownAmount,
    /// A setting of the source, and a lower value that avoids the excess.
    pub lower: Option<(String, String)>,
    /// A setting of the channel, and a higher value that avoids the excess.
    pub raise: Option<(String, String)>,
    /// Whether the channel is implicit: the program doesn't name it.
    pub implicit: bool,
}

/// The most that a component puts, takes, waits or holds.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownAmount {
    /// The component.
    pub component: String,
    /// The place of the component's declaration.
    pub declared: Span,
    /// The amount, in words.
    pub most: String,
    /// The setting that determines the amount.
    pub setting: Option<String>,
    /// All settings that affect the amount, including `setting`.
    pub settings: Vec<RequiredSetting>,
    /// The reason for the amount, as the signature states it.
    pub because: String,
    /// The place of the reason in the signature.
    pub because_span: Span,
}

impl PutTooLarge {
    pub(super) fn describe(&self) -> Description {
        self.0.describe()
    }
}

impl DefaultPutTooLarge {
    pub(super) fn describe(&self) -> Description {
        self.0.describe()
    }
}

impl TooLarge {
    fn describe(&self) -> Description {
        let TooLarge { put, taken, .. } = self;
        let message = format!(
            "`{}` may put {} at once, but `{}` takes at most {}",
            put.component, put.most, taken.component, taken.most
        );
        labelled(message, [put, taken]).help(self.instead())
    }

    fn instead(&self) -> String {
        let lower = self.lower.as_ref().map(|(name, value)| format!("set `{name}` to at most {value}"));
        let raise = self.raise.as_ref().map(|(name, value)| match self.implicit {
            true => {
                let name = name.rsplit('.').next().unwrap_or(name);
                format!("lead the way through a channel of your own with a `{name}` of at least {value}")
            }
            false => format!("set `{name}` to at least {value}"),
        });
        let ways: Vec<String> = lower.into_iter().chain(raise).collect();
        match ways.is_empty() {
            true => format!("lead `{}` into a channel that takes more at once", self.put.component),
            false => ways.join(", or "),
        }
    }
}

/// Returns a description with a label for each setting of the amounts, settings of the program before defaults,
/// and for the reason of each amount.
pub(super) fn labelled(message: String, amounts: [&ShownAmount; 2]) -> Description {
    let mut settings: Vec<&RequiredSetting> = amounts.iter().flat_map(|amount| &amount.settings).collect();
    settings.sort_by_key(|setting| setting.default);
    let mut description = Description { message, ..Description::default() };
    for setting in settings {
        description = description.label(setting.span, setting.label());
    }
    for amount in amounts {
        if amount.settings.is_empty() {
            description = description.label(amount.declared, format!("at most {}", amount.most));
        }
        description = description.label(amount.because_span, &*amount.because);
    }
    description
}
