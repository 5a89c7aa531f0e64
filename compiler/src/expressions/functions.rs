//! The signatures of the library's functions and of the program's functions.

use std::collections::HashMap;
use std::sync::Arc;

use weir_grammar::tree::{self, Parameter, TypeName};

use crate::checker::Checker;
use crate::diagnostics::{Diagnostic, UnknownName};
use crate::signatures::{FunctionSignature, Library, ParameterSignature};
use crate::spelling::nearest;
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
            let near = nearest(&parameter.bound.text, ["Any", "Ordered", "Number"]).map(str::to_owned);
            let (name, span) = (parameter.bound.text.to_string(), parameter.bound.span);
            return Err(Box::new(UnknownName { name, wanted: "bound", near, quote: false, span }.into()));
        };
        variables.insert(&parameter.name.text, Type::Variable(name, bound));
    }
    let resolve = |type_name: &TypeName| {
        library.resolve_with(type_name, &mut |path| variables.get(&*path.name.text).cloned())
    };
    let parameters = item.parameters.iter().map(|parameter| {
        let types = parameter.types.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
        let optional = types.iter().any(|(_, optional)| *optional);
        let types = types.into_iter().map(|(resolved, _)| resolved).collect();
        let (name, default) = (parameter.name.text.as_ref().into(), parameter.default.clone());
        Ok(ParameterSignature { name, declared: parameter.name.span, types, optional, default })
    });
    let parameters = parameters.collect::<Result<Vec<_>, Box<Diagnostic>>>()?;
    let (result, optional) = resolve(&item.result)?;
    Ok(FunctionSignature {
        name: item.name.text.as_ref().into(),
        declared: item.name.span,
        parameters,
        result,
        optional,
        varies: item.varies,
        masks: item.masks,
        fails: item.fails.as_ref().map(|because| because.text.clone()),
        index: None,
    })
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
