//! Checks the bodies of the program's functions.

use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{self, ItemKind};
use weir_plan::Function;

use crate::checker::Checker;
use crate::diagnostics::{DuplicateName, NameOf, NotPure, WrongType, with_article};
use crate::expressions::{Binding, Bindings, Typed, Typer};
use crate::files::modules::Module;
use crate::signatures::FunctionSignature;
use crate::types::ranges::IntRange;

impl Checker<'_> {
    /// Reads the signatures of all functions before the bodies, so that each function may call every other.
    pub(crate) fn read_functions(&mut self, modules: &[Module]) {
        let functions = modules.iter().flat_map(|module| &module.tree.items).filter_map(function);
        for (index, function) in functions.enumerate() {
            if let Some(signature) = self.signature_of(function, index as u32) {
                self.functions.insert(function.name.span, Arc::new(signature));
            }
        }
    }

    /// Checks the bodies of all functions. Returns `None` for each function with errors, which have been reported.
    pub(crate) fn function_bodies(&mut self, modules: &[Module]) -> Vec<Option<Function>> {
        let functions = modules.iter().flat_map(|module| &module.tree.items).filter_map(function);
        functions.map(|function| self.function_body(function)).collect()
    }

    fn function_body(&mut self, function: &tree::Function) -> Option<Function> {
        let signature = self.functions.get(&function.name.span).cloned()?;
        let mut bindings = Bindings::default();
        for (parameter, given) in signature.parameters.iter().zip(&function.parameters) {
            let [value_type] = parameter.types.as_slice() else {
                let found = match given.field {
                    true => "`field`, which is for interceptors".to_owned(),
                    false => parameter.type_names(),
                };
                let expected = "single type".to_owned();
                let span = given.name.span;
                self.report(WrongType::new(expected, found, span));
                return None;
            };
            let binding = Binding::Local {
                number: bindings.next,
                value_type: value_type.clone(),
                optional: parameter.optional,
                sensitive: false,
                range: IntRange::ALL,
                declared: given.name.span,
            };
            bindings.next += 1;
            self.bind_once(&given.name, binding, &mut bindings);
        }
        let mut lets = Vec::new();
        let mut whole = true;
        for item in &function.lets {
            let typed = Typer::new(self, None, &bindings).typed(&item.value, None);
            let Some(typed) = typed.and_then(|typed| self.pure(typed)) else {
                whole = false;
                bindings.names.insert(item.name.text.clone(), Binding::Broken);
                continue;
            };
            let binding = Binding::Local {
                number: bindings.next,
                value_type: typed.value_type.clone(),
                optional: typed.optional,
                sensitive: typed.sensitive,
                range: typed.range,
                declared: item.name.span,
            };
            bindings.note_condition(bindings.next, &typed.facts);
            bindings.next += 1;
            self.bind_once(&item.name, binding, &mut bindings);
            self.notes.locals.insert(item.name.span, item.name.text.to_string());
            lets.push(typed.planned);
        }
        let result = Typer::new(self, None, &bindings).typed(&function.value, Some(&signature.result));
        let result = result.and_then(|typed| self.pure(typed))?;
        let result = Typer::new(self, None, &bindings).adapted(result, &signature.result)?;
        self.fits_result(&result, &signature, function.result.span)?;
        let (name, parameters) = (function.name.text.to_string(), signature.parameters.len() as u32);
        whole.then_some(Function { name, parameters, lets, result: result.planned })
    }

    fn bind_once(&mut self, name: &tree::Name, binding: Binding, bindings: &mut Bindings) {
        if let Some(Binding::Local { declared, .. }) = bindings.names.get(&name.text) {
            let (first, second) = (*declared, name.span);
            self.report(DuplicateName { name: name.text.to_string(), first, second, of: NameOf::Items });
        }
        bindings.names.insert(name.text.clone(), binding);
    }

    fn fits_result(&mut self, result: &Typed, signature: &FunctionSignature, declared: Span) -> Option<()> {
        if result.value_type == signature.result && (signature.optional || !result.optional) {
            return Some(());
        }
        let expected = signature.result.named(signature.optional);
        let found = with_article(&result.value_type.named(result.optional));
        let declared = Some((format!("`{}` gives {}", signature.name, with_article(&expected)), declared));
        self.report(WrongType::new(expected, found, result.span).declared(declared));
        None
    }

    /// Checks that a value depends only on the arguments and cannot fail.
    fn pure(&mut self, typed: Typed) -> Option<Typed> {
        if let Some((name, span)) = &typed.varies {
            self.report(NotPure { name: name.clone(), span: *span });
            return None;
        }
        self.sure(typed)
    }
}

fn function(item: &tree::Item) -> Option<&tree::Function> {
    match &item.kind {
        ItemKind::Function(function) => Some(function),
        _ => None,
    }
}
