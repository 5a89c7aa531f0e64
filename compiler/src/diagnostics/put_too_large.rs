use weir_grammar::Span;

use super::{Description, RequiredSetting};

/// What a source puts as one whole is larger than a transaction of the channel behind, by settings that
/// the program gives.
#[derive(Debug, Clone, PartialEq)]
pub struct PutTooLarge(pub TooLarge);

/// The same, where a default has a part in it.
#[derive(Debug, Clone, PartialEq)]
pub struct DefaultPutTooLarge(pub TooLarge);

/// A source that may put more at once than the channel behind takes.
#[derive(Debug, Clone, PartialEq)]
pub struct TooLarge {
    /// What the source puts as one whole.
    pub put: ShownAmount,
    /// What the channel takes in one transaction.
    pub taken: ShownAmount,
    /// A setting of the source and a lower value with which it fits.
    pub lower: Option<(String, String)>,
    /// A setting of the channel and a higher value with which it fits.
    pub raise: Option<(String, String)>,
    /// Whether the program doesn't name the channel.
    pub implicit: bool,
}

/// What a component puts, takes, waits or holds at most.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownAmount {
    /// The component.
    pub component: String,
    /// Where it is declared.
    pub declared: Span,
    /// How much.
    pub most: String,
    /// The setting that it is computed from.
    pub setting: Option<String>,
    /// That setting and those that its clause depends on.
    pub settings: Vec<RequiredSetting>,
    /// Why, as the signature says it.
    pub because: String,
    /// Where the signature says why.
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

/// A description that shows the settings of amounts, those that the program gives first, and why they count.
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
