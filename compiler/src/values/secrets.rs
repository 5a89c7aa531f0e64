//! Texts of a program that look like secrets: private keys, tokens of well-known services, passwords in URLs.

use std::sync::LazyLock;

use regex::RegexSet;
use weir_grammar::tree::{ExpressionKind, ItemKind, Node, TextPart, walk};

use crate::diagnostics::{Diagnostic, SecretInText};
use crate::files::modules::Module;

/// The forms of secrets. Each is so long or so marked that other texts do not have it by accident.
const FORMS: [(&str, &str); 8] = [
    ("a private key", r"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----"),
    ("a password in a URL", r"[a-z][a-z0-9+.-]*://[^\s/?#@:]+:[^\s/?#@]+@"),
    ("an access key of AWS", r"\b(AKIA|ASIA)[A-Z2-7]{16}\b"),
    ("a token of GitHub", r"\bgh[pousr]_[A-Za-z0-9]{36}"),
    ("a token of GitLab", r"\bglpat-[A-Za-z0-9_-]{20}"),
    ("a token of Slack", r"\bxox[abprs]-[A-Za-z0-9-]{20}"),
    ("a signed token (JWT)", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16}"),
    ("a bearer token", r"(?i)\bbearer\s+[A-Za-z0-9._~+/-]{20}"),
];

// A form that is no regular expression would be found by the tests below.
static PATTERNS: LazyLock<RegexSet> =
    LazyLock::new(|| RegexSet::new(FORMS.map(|(_, form)| form)).unwrap_or_else(|_| RegexSet::empty()));

/// Returns what a text contains that looks like a secret.
fn looks_like(text: &str) -> Option<&'static str> {
    PATTERNS.matches(text).iter().next().map(|index| FORMS[index].0)
}

/// Reports the texts of a program that look like secrets. Tests may have any text, since they are simulated.
pub(crate) fn check(modules: &[Module], diagnostics: &mut Vec<Diagnostic>) {
    for module in modules {
        walk(&module.tree, &mut |node| {
            match node {
                Node::Item(item) => return !matches!(item.kind, ItemKind::Test(_)),
                Node::Expression(expression) => {
                    if let ExpressionKind::Text(text) = &expression.kind {
                        let literals = text.parts.iter().map(|part| match part {
                            TextPart::Literal(text) => text.as_ref(),
                            // What fills a hole is not in the text.
                            _ => " ",
                        });
                        let literals: String = literals.collect();
                        let is_told = |told: &Diagnostic| matches!(told, Diagnostic::PlainSecret(plain) if plain.span == expression.span);
                        let found = looks_like(&literals);
                        if let Some(what) = found.filter(|_| !diagnostics.iter().any(is_told)) {
                            diagnostics.push(SecretInText { what, span: expression.span }.into());
                        }
                    }
                }
                _ => {}
            }
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_a_pattern() {
        assert_eq!(PATTERNS.len(), FORMS.len());
    }

    #[test]
    fn secrets_are_recognised_and_other_texts_are_not() {
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE";
        assert_eq!(looks_like(key), Some("a private key"));
        assert_eq!(looks_like("hdfs://ada:letmein@lake:8020"), Some("a password in a URL"));
        assert_eq!(looks_like(&format!("ghp_{}", "a1B2".repeat(9))), Some("a token of GitHub"));
        assert_eq!(looks_like("Bearer 0123456789abcdef0123"), Some("a bearer token"));
        let fine = [
            "hdfs://lake:8020",
            "https://ada@lake/",
            "https://host/a:b@c",
            "Bearer {token}",
            "bearer of bad news",
            "-----BEGIN CERTIFICATE-----",
            r"AKIA[A-Z2-7]{16}",
            "gh_pages",
        ];
        assert!(fine.iter().all(|text| looks_like(text).is_none()));
    }
}
