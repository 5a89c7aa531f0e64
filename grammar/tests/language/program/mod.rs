//! Random programs that use every construct of the language.

mod expression;
mod flow;
mod item;

use crate::choices::Choices;
use crate::layout::Piece;

/// Expressions, chains and blocks are nested this deep.
const DEPTH: usize = 4;

/// The tokens of a program with this many items at most.
pub(crate) fn program(choices: &mut Choices<'_>, items: usize) -> Vec<Piece> {
    let mut program = Program { choices, pieces: Vec::new() };
    for index in 0..=program.choices.below(items) {
        if index > 0 {
            program.pieces.push(Piece::NextItem);
        }
        program.item();
    }
    program.pieces
}

/// The tokens of one item.
pub(crate) fn item(choices: &mut Choices<'_>) -> Vec<Piece> {
    let mut program = Program { choices, pieces: Vec::new() };
    program.item();
    program.pieces
}

struct Program<'p, 'c> {
    choices: &'p mut Choices<'c>,
    pieces: Vec<Piece>,
}

const NAMES: [&str; 14] = [
    "a",
    "user",
    "took_longer_than_that",
    "`in`",
    "`match`",
    "`plain`",
    "`drop`",
    "`reject`",
    "`field`",
    "keep",
    "`throttle`",
    "to",
    "within",
    "shared",
];
const TYPES: [&str; 9] = [
    "Text",
    "Int?",
    "[Text]",
    "[Int?]?",
    "Map<Text>",
    "Map<[Int]>?",
    "Decimal(10, 2)",
    "shared.Click",
    "`field`",
];
const NUMBERS: [&str; 10] =
    ["1", "1_000", "0.5", "5min", "250ms", "64KiB", "10MiB/s", "5_000/s", "1%", "100000000000000000"];
const TEXTS: [&str; 8] = [
    r#""plain""#,
    r#""with {hole} and {@timestamp:%Y/%m}""#,
    r#"r"raw \d+ { //""#,
    r#""\"escaped\" \n {{}}""#,
    r#""// no comment""#,
    r#""""#,
    r#""Grüße, 世界""#,
    r#""a text that is so long that no line that it stands on can have anything else on it, whatever is done about that""#,
];
const HEADERS: [&str; 3] = ["@host", "@timestamp", "@in"];

impl Program<'_, '_> {
    /// Writes tokens, which blanks separate in the argument.
    fn put(&mut self, tokens: &str) {
        self.pieces.extend(tokens.split(' ').map(|token| Piece::Token(token.to_owned())));
    }

    fn line_may_end(&mut self) {
        self.pieces.push(Piece::Break);
    }

    fn one_of(&mut self, tokens: &[&str]) {
        let token = self.choices.of(tokens).to_owned();
        self.pieces.push(Piece::Token(token));
    }

    fn name(&mut self) {
        self.one_of(&NAMES);
    }

    fn text(&mut self) {
        self.one_of(&TEXTS);
    }

    fn type_name(&mut self) {
        self.one_of(&TYPES);
    }

    /// Writes `{ … }` with some entries.
    fn braces(&mut self, most: usize, entry: impl Fn(&mut Self)) {
        self.put("{");
        self.line_may_end();
        let count = self.choices.below(most + 1);
        for index in 0..count {
            if index > 0 {
                self.pieces.push(Piece::Separator);
            }
            entry(self);
        }
        self.pieces.push(if count > 0 { Piece::LastSeparator } else { Piece::Break });
        self.put("}");
    }

    /// Writes `[ … ]` or `( … )` with some elements.
    fn brackets(&mut self, open: &str, close: &str, most: usize, element: impl Fn(&mut Self)) {
        self.put(open);
        let count = self.choices.below(most + 1);
        for index in 0..count {
            if index > 0 {
                self.pieces.push(Piece::Separator);
            }
            element(self);
        }
        if count > 0 {
            self.pieces.push(Piece::LastSeparator);
        }
        self.put(close);
    }

    fn because(&mut self) {
        self.line_may_end();
        self.put("because");
        self.line_may_end();
        self.text();
    }
}
