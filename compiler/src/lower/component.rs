//! Components whose settings have been checked.

use std::collections::{BTreeMap, HashMap};

use weir_grammar::Span;
use weir_plan::Value;

use crate::flows::Declared;
use crate::library::{Library, Named, Signature, Variant};
use crate::requirements::Side;
use crate::settings::Exclusive;
use crate::templates::OpenHole;
use crate::types::Type;

/// A component whose settings have been checked.
#[derive(Debug)]
pub(crate) struct CheckedComponent<'c> {
    pub(crate) declared: Declared,
    /// None if its kind is unknown, which has been reported, or if it is the place of rejected events.
    pub(crate) signature: Option<&'c Signature>,
    /// None if something about them has been reported.
    pub(crate) settings: Option<BTreeMap<String, Value>>,
    /// Where the settings stand that the program gives.
    pub(crate) given: HashMap<String, Span>,
    pub(crate) holes: Vec<OpenHole>,
    /// The headers that the settings name.
    pub(crate) headers: Vec<(String, Span)>,
    /// The values that no other component may have.
    pub(crate) exclusive: Vec<Exclusive>,
}

impl<'c> CheckedComponent<'c> {
    /// The variants that its settings are set to.
    pub(crate) fn chosen_variants(&self, library: &'c Library) -> impl Iterator<Item = &'c Variant> {
        let settings = self.signature.into_iter().flat_map(|signature| &signature.group.settings);
        settings.filter_map(|setting| {
            let value = self.settings.as_ref()?.get(&*setting.name.text)?;
            let (Type::Named(name), Value::Variant { name: chosen, .. }) = (&setting.value_type, value)
            else {
                return None;
            };
            let Named::Enum(variants) = library.types.get(name)? else { return None };
            variants.iter().find(|variant| *variant.name.text == **chosen)
        })
    }
}

impl CheckedComponent<'_> {
    /// A component of which only the name is known.
    pub(crate) fn without_settings(declared: Declared) -> Self {
        CheckedComponent {
            declared,
            signature: None,
            settings: None,
            given: HashMap::new(),
            holes: Vec::new(),
            headers: Vec::new(),
            exclusive: Vec::new(),
        }
    }

    /// Its settings, for what is required between it and others.
    pub(super) fn side(&self) -> Option<Side<'_>> {
        let (group, values) = (&self.signature?.group, self.settings.as_ref()?);
        let (name, declared) = (&*self.declared.name, self.declared.span);
        Some(Side { group, values, given: &self.given, name, declared, implicit: false })
    }
}
