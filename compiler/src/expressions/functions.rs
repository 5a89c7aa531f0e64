//! The signatures of the library's functions and of the program's functions.

use std::collections::HashMap;
use std::sync::Arc;

use weir_grammar::tree::{self, Expression, ExpressionKind, Parameter, TypeName, TypeNameKind};

use crate::checker::Checker;
use crate::diagnostics::{Diagnostic, UnknownName};
use crate::signatures::{FunctionSignature, Library, ParameterSignature, ResultSizes};
use crate::spelling::nearest;
use crate::types::ranges::IntRange;
use crate::types::{Bound, Type};

/// Reads the signature of a function of the library.
pub(crate) fn signature_of_extern(
    item: &tree::ExternFunction,
    library: &Library,
) -> Result<FunctionSignature, Box<Diagnostic>> {
    let mut variables: HashMap<&str, Type> = HashMap::new();
    for parameter in &item.type_parameters {
        let name: Arc<str> = parameter.name.text.as_ref().into();
        let Some(bound) = Bound::of(&parameter.bound.text) else {
            let near =
                nearest(&parameter.bound.text, ["Any", "Plain", "Ordered", "Number"]).map(str::to_owned);
            let (name, span) = (parameter.bound.text.to_string(), parameter.bound.span);
            return Err(Box::new(UnknownName { name, wanted: "bound", near, quote: false, span }.into()));
        };
        variables.insert(&parameter.name.text, Type::Variable(name, bound));
    }
    // `Decimal` without digits takes every decimal number.
    let decimal = Type::Variable("Decimal".into(), Bound::Decimal);
    let named = |name: &str| variables.get(name).cloned().or((name == "Decimal").then(|| decimal.clone()));
    let resolve = |type_name: &TypeName| library.resolve_with(type_name, &mut |path| named(&path.name.text));
    let parameters = item.parameters.iter().map(|parameter| {
        let types = parameter.types.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
        let optional = types.iter().any(|(_, optional)| *optional);
        let types = types.into_iter().map(|(resolved, _)| resolved).collect();
        let (name, default) = (parameter.name.text.as_ref().into(), parameter.default.clone());
        Ok(ParameterSignature { name, declared: parameter.name.span, types, optional, default })
    });
    let parameters = parameters.collect::<Result<Vec<_>, Box<Diagnostic>>>()?;
    let (result, optional, sizes) = match result_sizes(&item.result, &parameters) {
        Some((usage, sizes)) => {
            (Type::Variable(usage.into(), Bound::Number), item.result.optional, Some(sizes))
        }
        None => {
            let (result, optional) = resolve(&item.result)?;
            (result, optional, None)
        }
    };
    Ok(FunctionSignature {
        name: item.name.text.as_ref().into(),
        declared: item.name.span,
        parameters,
        result,
        optional,
        varies: item.varies,
        masks: item.masks,
        sizes,
        range: item.range.as_ref().and_then(IntRange::of_text),
        fails: item.fails.as_ref().map(|because| because.text.clone()),
        index: None,
    })
}

/// Returns the digits of a result such as `Decimal(digits, scale)`, which name parameters, and the result in the syntax
/// of the language.
fn result_sizes(result: &TypeName, parameters: &[ParameterSignature]) -> Option<(String, ResultSizes)> {
    let TypeNameKind::Sized(name, first, second) = &result.kind else { return None };
    let index = |size: &Expression| match &size.kind {
        ExpressionKind::Name(name) => parameters.iter().position(|parameter| *parameter.name == **name),
        _ => None,
    };
    let (first, second) = (index(first)?, index(second)?);
    let usage = format!("{}({}, {})", name.text, parameters[first].name, parameters[second].name);
    let sizes = match &*name.text {
        "Decimal" => ResultSizes::Decimal { digits: first, scale: second },
        "Rounded" => ResultSizes::Rounded { number: first, digits: second },
        _ => return None,
    };
    Some((usage, sizes))
}

impl Checker<'_> {
    /// Reads the signature of a function of the program; returns `None` if it has errors.
    pub(crate) fn signature_of(&mut self, item: &tree::Function, index: u32) -> Option<FunctionSignature> {
        let parameters: Vec<Option<ParameterSignature>> =
            item.parameters.iter().map(|parameter| self.parameter(parameter)).collect();
        let (result, optional) = self.resolve(&item.result)?;
        Some(FunctionSignature {
            name: item.name.text.as_ref().into(),
            declared: item.name.span,
            parameters: parameters.into_iter().collect::<Option<Vec<_>>>()?,
            result,
            optional,
            varies: false,
            masks: false,
            sizes: None,
            range: None,
            fails: None,
            index: Some(index),
        })
    }

    /// Reads a parameter that takes a value.
    pub(crate) fn parameter(&mut self, parameter: &Parameter) -> Option<ParameterSignature> {
        let types: Vec<Option<(Type, bool)>> =
            parameter.types.iter().map(|type_name| self.resolve(type_name)).collect();
        let types = types.into_iter().collect::<Option<Vec<_>>>()?;
        let optional = types.iter().any(|(_, optional)| *optional);
        let types = types.into_iter().map(|(resolved, _)| resolved).collect();
        let (name, default) = (parameter.name.text.as_ref().into(), parameter.default.clone());
        Some(ParameterSignature { name, declared: parameter.name.span, types, optional, default })
    }
}
