//! Checks the sizes of functions and files, the names of modules, and leftovers such as `todo!`.

use proc_macro2::{Delimiter, LineColumn, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::Fault;

/// The maximum number of lines of a file.
const FILE_LINES_MAX: usize = 500;
/// The maximum number of lines of a function, from `fn` to its last brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Macros for unfinished work and debugging.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];
/// Names of modules that do not describe the content.
const VAGUE_NAMES: [&str; 8] = ["util", "utils", "helper", "helpers", "common", "misc", "shared", "stuff"];

pub(crate) fn check(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        faults.push(Fault::new(
            path,
            lines,
            format!("{lines} lines in a file, the maximum is {FILE_LINES_MAX}"),
        ));
    }
    let module = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let module = module.rsplit('/').next().unwrap_or_default();
    if VAGUE_NAMES.contains(&module) {
        faults.push(Fault::new(path, 1, format!("the name `{module}` does not describe the module")));
    }
    match syn::parse_file(text) {
        Ok(file) => {
            let mut functions = Functions { path, faults: Vec::new() };
            functions.visit_file(&file);
            faults.extend(functions.faults);
        }
        Err(error) => {
            faults.push(Fault::new(path, error.span().start().line, format!("syntax error: {error}")));
        }
    }
    if let Ok(tokens) = text.parse::<TokenStream>() {
        check_tokens(path, tokens, &mut faults);
    }
    faults
}

struct Functions<'a> {
    path: &'a str,
    faults: Vec<Fault>,
}

impl Functions<'_> {
    fn measure(&mut self, name: &syn::Ident, begin: LineColumn, end: LineColumn) {
        let lines = end.line + 1 - begin.line;
        if lines > FUNCTION_LINES_MAX {
            let message = format!("{lines} lines in `{name}`, the maximum is {FUNCTION_LINES_MAX}");
            self.faults.push(Fault::new(self.path, begin.line, message));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig.ident, function.sig.span().start(), function.block.span().end());
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig.ident, function.sig.span().start(), function.block.span().end());
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.measure(&function.sig.ident, function.sig.span().start(), body.span().end());
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// Checks all tokens, also those in macros: finds `assert!(dbg!(x))`, but not the text `"dbg!"`.
fn check_tokens(path: &str, tokens: TokenStream, faults: &mut Vec<Fault>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        if let Some(message) = leftover(&tokens[at..]) {
            faults.push(Fault::new(path, token.span().start().line, message));
        }
        if let TokenTree::Group(group) = token {
            check_tokens(path, group.stream(), faults);
        }
    }
}

/// Returns a message if these tokens begin with a leftover or with a module of a vague name.
fn leftover(tokens: &[TokenTree]) -> Option<String> {
    use TokenTree::{Group, Ident, Punct};
    match tokens {
        [Ident(name), Punct(mark), Group(_), ..]
            if mark.as_char() == '!' && UNFINISHED.iter().any(|unfinished| name == unfinished) =>
        {
            Some(format!("`{name}!` was left in"))
        }
        [Ident(word), Ident(name), ..] if word == "mod" && VAGUE_NAMES.iter().any(|vague| name == vague) => {
            Some(format!("the name `{name}` does not describe the module"))
        }
        [Punct(hash), Group(attribute), ..]
            if hash.as_char() == '#'
                && attribute.delimiter() == Delimiter::Bracket
                && first_word(attribute.stream()) == "ignore" =>
        {
            Some("a test is ignored: run it or delete it".to_owned())
        }
        _ => None,
    }
}

fn first_word(tokens: TokenStream) -> String {
    tokens.into_iter().next().map(|token| token.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<String> {
        check(path, text).iter().map(Fault::to_string).collect()
    }

    fn function_of(lines: usize) -> String {
        format!("/// A doc comment does not count.\nfn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_may_have_seventy_lines() {
        assert_eq!(faults("a.rs", &function_of(70)), [""; 0]);
        assert_eq!(faults("a.rs", &function_of(71)), ["a.rs:2: 71 lines in `long`, the maximum is 70"]);
    }

    #[test]
    fn methods_and_nested_functions_count() {
        let method = format!("struct S;\nimpl S {{\n{}}}\n", function_of(71));
        assert_eq!(faults("a.rs", &method), ["a.rs:4: 71 lines in `long`, the maximum is 70"]);
        let default = format!("trait T {{\n{}}}\n", function_of(71));
        assert_eq!(faults("a.rs", &default), ["a.rs:3: 71 lines in `long`, the maximum is 70"]);
    }

    #[test]
    fn a_file_may_have_five_hundred_lines() {
        assert_eq!(faults("a.rs", &"\n".repeat(500)), [""; 0]);
        assert_eq!(faults("a.rs", &"\n".repeat(501)), ["a.rs:501: 501 lines in a file, the maximum is 500"]);
    }

    #[test]
    fn unfinished_work_is_found_in_code_and_not_in_comments_or_texts() {
        assert_eq!(faults("a.rs", "// dbg!(1)\nconst A: &str = \"todo!()\";\n"), [""; 0]);
        assert_eq!(faults("a.rs", "fn f() {\n    todo!()\n}\n"), ["a.rs:2: `todo!` was left in"]);
        assert_eq!(faults("a.rs", "fn f() {\n    assert!(dbg!(true));\n}\n"), ["a.rs:2: `dbg!` was left in"]);
        assert_eq!(
            faults("a.rs", "fn f() { unimplemented!(\"x\") }\n"),
            ["a.rs:1: `unimplemented!` was left in"]
        );
    }

    #[test]
    fn ignored_tests_are_found() {
        let message = "a.rs:2: a test is ignored: run it or delete it";
        assert_eq!(faults("a.rs", "#[test]\n#[ignore]\nfn f() {}\n"), [message]);
        assert_eq!(faults("a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}\n"), [message]);
    }

    #[test]
    fn modules_have_descriptive_names() {
        let message = "the name `helpers` does not describe the module";
        assert_eq!(faults("a.rs", "mod helpers;\n"), [format!("a.rs:1: {message}")]);
        assert_eq!(faults("a/helpers.rs", ""), [format!("a/helpers.rs:1: {message}")]);
        assert_eq!(faults("a/helpers/mod.rs", ""), [format!("a/helpers/mod.rs:1: {message}")]);
    }

    #[test]
    fn a_syntax_error_is_a_fault() {
        assert_eq!(faults("a.rs", "fn f() {\n    let = 1;\n}\n").len(), 1);
    }
}
